# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The storm says what was lost, and only that."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_client import put_manifest
from tests.storm.ledger import claims
from tests.storm.registry import Account, Address, Registry
from tests.verify.cluster import eventually

FAST = ("--rate", "10", "--think", "0", "--images", "40")


def _acknowledged(storm, count, *, seconds=30):
    eventually(lambda: storm.count("acknowledged") >= count, f"{count} images are acknowledged", seconds=seconds)


@pytest.fixture
def kept(start, storm):
    """A registry with images of all kinds, of which nothing is deleted, and the storm that has pushed them."""
    server = start()
    pushing = storm(server, *FAST, "--no-deletes", "--no-untags", "--pullers", "0")
    with pushing:
        _acknowledged(pushing, 25)
    assert pushing.verify()[0] == 0
    return server, pushing


def _claim(pushing, kind):
    return next(claim for claim in claims(pushing.events()) if claim.recipe.kind == kind)


def test_nothing_is_missed_where_nothing_is_lost(start, storm) -> None:
    """Pushes of every kind, copies, deletions and new pushes, and collections while nobody pushes."""
    server = start()
    for seed in ("a", "b"):
        pushing = storm(server, *FAST, "--seed", seed, "--skopeo", "1")
        with pushing:
            _acknowledged(pushing, pushing.count("acknowledged") + 30)
        report = pushing.report
        faults = ("failed_pulls", "refused", "refused_without_a_reason", "given_up", "crashed")
        assert [report[name] for name in faults] == [0] * len(faults), report
        assert report["pulls"]
        assert {"plain", "index", "signed", "by skopeo"} <= set(report["acknowledged_of"]), report
        assert "blobs marked" in server.collect()
        code, seen = pushing.verify()
        assert (code, seen["broken"]) == (0, 0), seen


@pytest.mark.parametrize("kind", ["plain", "index", "signed"])
def test_a_lost_blob_is_reported(kept, kind) -> None:
    """A layer whose file is gone; for an index, one of a platform; for a signed image, one of what refers to it."""
    server, pushing = kept
    claim = _claim(pushing, kind)
    part = {"plain": 0, "index": 1, "signed": 2}[kind]
    blob = claim.image().manifests[part].blobs[-1].digest
    server.data(blob).unlink()
    code, seen = pushing.verify()
    assert code == 1
    broken = {one["image"]: one["problem"] for one in seen["broken_images"]}
    assert blob in broken[str(claim.name)]


def test_a_changed_byte_is_reported(kept) -> None:
    """Not only what is gone is lost."""
    server, pushing = kept
    claim = _claim(pushing, "plain")
    file = server.data(claim.image().top.blobs[-1].digest)
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    code, seen = pushing.verify()
    assert code == 1
    assert str(claim.name) in [one["image"] for one in seen["broken_images"]]


def test_a_lost_manifest_is_reported(kept) -> None:
    """The platform of an index, which has no tag, and a tag that names another image now."""
    server, pushing = kept
    index, plain = _claim(pushing, "index"), _claim(pushing, "plain")
    server.data(index.image().manifests[0].content.digest).unlink()
    other = next(
        claim
        for claim in claims(pushing.events())
        if claim.recipe.kind == "plain" and claim.name.repository == plain.name.repository and claim.name != plain.name
    )
    content = other.image().top.content
    session = Registry(Address(server.url), Account()).session
    put_manifest(session, plain.name.repository, plain.name.tag, content.body, content.media_type)
    broken = [one["image"] for one in pushing.verify()[1]["broken_images"]]
    assert str(index.name) in broken
    assert str(plain.name) in broken


def test_a_refusal_without_a_reason_is_counted_and_the_push_repeated(start, storm) -> None:
    """The registry goes away in the middle and comes back: pushes go on, but the report is not a good one."""
    server = start()
    pushing = storm(server, *FAST)
    with pushing:
        _acknowledged(pushing, 5)
        server.stop()
        eventually(lambda: pushing.count("refused") >= 2, "pushes are refused")
        # On a busy machine those who pull come later than those who push.
        eventually(lambda: pushing.count("pull failed") >= 1, "pulls fail")
        server.start()
        _acknowledged(pushing, pushing.count("acknowledged") + 5)
    assert pushing.report["refused_without_a_reason"] >= 2
    assert pushing.report["retried"] >= 1
    assert pushing.report["given_up"] == 0
    assert pushing.report["failed_pulls"] >= 1
    assert pushing.verify()[0] == 0


def test_a_push_that_never_works_is_counted(start, storm) -> None:
    """Patience ends: a refused push that did not succeed later is a fault of its own."""
    server = start()
    pushing = storm(server, *FAST, "--patience", "3", "--pullers", "0")
    with pushing:
        _acknowledged(pushing, 3)
        server.stop()
        eventually(lambda: not pushing.running, "all pushers have given up")
    assert pushing.report["given_up"] == 2


def test_the_ledger_outlives_the_storm(start, storm) -> None:
    """A storm that is killed has written everything down that was acknowledged, and another one goes on in the file."""
    server = start()
    pushing = storm(server, *FAST, "--no-deletes")
    with pushing:
        _acknowledged(pushing, 10)
        pushing.kill()
    known = len(claims(pushing.events()))
    code, seen = pushing.verify()
    assert (code, seen["checked"]) == (0, known)
    with pushing.ledger.open("a") as ledger:
        ledger.write('{"event": "ackn')
    again = storm(server, *FAST, "--seed", "again")
    with again:
        _acknowledged(again, known + 5)
    code, seen = again.verify()
    assert (code, seen["broken"]) == (0, 0)
    assert seen["checked"] > 5
