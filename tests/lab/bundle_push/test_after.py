# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes after a push: the inventory that is carried out, and the tags of older bundles that go."""

from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._bundle_check import open_bundle
from ansible_collections.homeport.registry.plugins.module_utils._bundle_known import read_inventory
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import make_plan
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.modules import bundle_inventory, bundle_prune
from tests.lab.inventory.images import Store
from tests.unit.bundle.writer import Key, Writer, digest_of

from .conftest import ACCOUNT, fill, noise

ONE, TWO, SIGNED = "docker.io/library/one:1", "docker.io/library/two:2", "docker.io/library/signed:1"


@pytest.fixture
def account(server):
    return {"url": server.url, "username": ACCOUNT[0], "password": ACCOUNT[1]}


@pytest.fixture
def inventory(run_module, account, tmp_path):
    def inventory(**options):
        return run_module(bundle_inventory, **({"dest": str(tmp_path / "inventory.json")} | account | options))

    return inventory


def test_an_inventory_holds_every_digest_and_nothing_else(inventory, push, tmp_path, key):
    writer = fill(Writer())
    push(writer.write(tmp_path / "in", key))
    path = tmp_path / "inventory.json"
    for check in (True, False):
        result = inventory(check=check)
        assert result["changed"] is True
        assert result["diff"] == {"before": {"digests": 0}, "after": {"digests": result["digests"]}}
        assert path.exists() is not check
    lists = set(writer.images["quay.io:8443/team/list:2"]["tags"].values())
    assert set(writer.sizes) - lists <= read_inventory(str(path))
    assert result["digests"] == len(read_inventory(str(path)))
    assert result["sha256"] == digest_of(path.read_bytes())[7:]
    assert (result["path"], result["repositories"]) == (str(path), 4)
    assert set(json.loads(path.read_text())) == {"schema", "digests"}
    for check in (True, False):
        assert inventory(check=check)["changed"] is False


def test_an_inventory_leaves_out_what_is_lost(inventory, push, tmp_path, key):
    writer = Writer()
    writer.image(ONE, writer.manifest(noise(0), noise(1)))
    push(writer.write(tmp_path / "in", key))
    lost = digest_of(noise(1))
    (tmp_path / "store/docker/registry/v2/blobs/sha256" / lost[7:9] / lost[7:] / "data").unlink()
    result = inventory()
    assert [one["kind"] for one in result["problems"]] == ["blob-missing"]
    assert read_inventory(str(tmp_path / "inventory.json")) == set(writer.sizes) - {lost}


def test_an_inventory_is_signed(inventory, push, tmp_path, key):
    private = tmp_path / "id"
    private.write_bytes(key.private)
    path = tmp_path / "inventory.json"
    assert inventory(key=str(private))["changed"] is True
    assert inventory(key=str(private))["changed"] is False
    (tmp_path / "allowed").write_text(f"site {key.public}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "allowed", "-I", "site", "-n", "homeport-inventory"]
    subprocess.run([*command, "-s", f"{path}.sig"], input=path.read_bytes(), check=True)
    assert inventory(key=str(tmp_path / "none"))["failed"]
    assert "No such file" in inventory(dest=str(tmp_path / "none/x"), key=str(tmp_path / "none"))["msg"]


@pytest.fixture
def bundles(push, tmp_path, key):
    """An older and a newer version, both pushed: one image stays, one moves on, one goes."""
    older, newer = Writer(version="1"), Writer(version="2")
    for writer in (older, newer):
        same = writer.manifest(noise(0), config=b'{"same": 1}')
        writer.image(SIGNED, same, referrers=[writer.referrer(same)])
    older.image(ONE, older.manifest(noise(1), config=b'{"one": 1}'))
    newer.image(ONE, newer.manifest(noise(2), config=b'{"one": 2}'))
    gone = older.manifest(noise(3))
    older.image(TWO, gone, referrers=[older.referrer(gone)])
    paths = [writer.write(tmp_path / writer.version, key)[0] for writer in (older, newer)]
    for path in paths:
        assert push([path])["complete"] is True
    return older, newer, paths


@pytest.fixture
def prune(run_module, account, key, bundles):
    _older, _newer, paths = bundles

    def prune(**options):
        given = {"bundle": str(paths[1]), "superseded": [str(paths[0])], "trusted_keys": [key.public]}
        return run_module(bundle_prune, **(given | account | options))

    return prune


def places(result, key="removed"):
    return {f"{one['repository']}:{one['tag']}" for one in result[key]}


def keep(writer, name):
    digest = writer.images[name]["digest"]
    return f"{name.rpartition(':')[0]}:hp-platform-{writer.version}-{digest[7:19]}"


def test_what_only_the_older_one_brought_goes(prune, bundles, session, push):
    older, newer, paths = bundles
    before = take_inventory(session)
    fallback = f"docker.io/library/two:{older.images[TWO]['digest'].replace(':', '-')}"
    expected = {TWO, fallback, *(keep(older, name) for name in (ONE, TWO, SIGNED))}
    for check in (True, False):
        result = prune(check=check)
        assert result["changed"] is True
        assert places(result) == expected
        assert set(result["diff"]["before"]) == expected
        # The list of referrers of an image that stays is brought by both.
        same = f"docker.io/library/signed:{newer.images[SIGNED]['digest'].replace(':', '-')}"
        assert places(result, "kept") == {ONE, SIGNED, same}
        assert all(one["reason"] for one in result["kept"])
        if check:
            assert take_inventory(session) == before
    for check in (True, False):
        assert prune(check=check)["changed"] is False
    after = take_inventory(session)
    assert not after.problems
    left = {f"{name}:{tag}" for name, one in after.repositories.items() for tag in one.tags}
    assert left == {ONE, SIGNED, same, keep(newer, ONE), keep(newer, SIGNED)}
    assert push([paths[1]])["changed"] is False


def test_what_somebody_else_needs_stays(prune, bundles, session, push, tmp_path, key):
    older, _newer, _paths = bundles
    other = Writer(name="apps")
    other.image(TWO, other.manifest(noise(3), config=b'{"apps": 1}'))
    (needed,) = other.write(tmp_path / "apps", key)
    push([needed])
    # Its tag was moved by the other bundle, so that it is none of ours even if nobody tells.
    for more in ({}, {"needed": [str(needed)]}):
        result = prune(check=True, **more)
        assert TWO in places(result, "kept")
    prune()
    assert client.head_manifest(session, "docker.io/library/two", "2").digest == other.images[TWO]["digest"]
    assert keep(older, TWO) not in {
        f"docker.io/library/two:{tag}" for tag in client.list_tags(session, "docker.io/library/two")
    }


def test_a_document_is_enough(prune, bundles, tmp_path):
    _older, _newer, paths = bundles
    for path in paths:
        subprocess.run(["tar", "-C", path.parent, "-xf", path, "bundle.json", "bundle.json.sig"], check=True)
    result = prune(bundle=str(paths[1].parent / "bundle.json"), superseded=[str(paths[0].parent / "bundle.json")])
    assert result["changed"] is True


def test_refusals(prune, bundles, session, push, tmp_path, key):
    paths = bundles[2]
    before = take_inventory(session)
    other = Writer(name="apps")
    other.image(ONE, other.manifest(noise(9)))
    (stranger,) = other.write(tmp_path / "other", key)
    newest = Writer(version="3")
    newest.image(ONE, newest.manifest(noise(8)))
    (unpushed,) = newest.write(tmp_path / "3", key)
    for options, saying in (
        ({"trusted_keys": [Key().public]}, "Find out who has signed this"),
        ({"trusted_keys": []}, "no key is trusted"),
        ({"superseded": [str(paths[1])]}, "is in use itself"),
        ({"needed": [str(paths[0])]}, "is in use itself"),
        ({"superseded": [str(stranger)]}, "is no version of platform 2"),
        ({"bundle": str(unpushed)}, "Push the current bundle first"),
        ({"superseded": [str(tmp_path / "none")]}, "does not exist"),
    ):
        result = prune(**options)
        assert result["failed"], options
        assert saying in result["msg"]
    assert take_inventory(session) == before


def test_what_a_tag_shows_is_not_asked_for_again(push, server, tmp_path, key):
    """One look at the tag that keeps an image proves its manifest as well; a damaged one is neither."""
    writer = fill(Writer())
    paths = [str(path) for path in writer.write(tmp_path / "in", key)]
    push(paths)
    seen: list[Exchange] = []
    transport = Transport(observer=seen.append)
    with open_bundle(paths, [key.public]) as opened:
        plan = make_plan(Session(transport, server.url, *ACCOUNT), opened, 4)
        assert all(plan.is_done(image) for image in plan.images)
        asked = {one.url.partition("/v2/")[2] for one in seen}
        for image in plan.images:
            assert f"{image.repository}/manifests/{image.keep}" in asked
            assert f"{image.repository}/manifests/{image.image.digest}" not in asked
        top = plan.images[0]
        Store(tmp_path / "store").blob(top.image.digest).write_bytes(b"{}")
        damaged = make_plan(Session(transport, server.url, *ACCOUNT), opened, 4)
    transport.close()
    assert (top.repository, top.image.digest) not in damaged.found.manifests
    assert (top.repository, top.keep) not in damaged.found.tags
