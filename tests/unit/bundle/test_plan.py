# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where images go, what keeps them, and how hard a registry is pushed."""

from __future__ import annotations

import json
import threading
import time

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import FormatError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_format import parse
from ansible_collections.homeport.registry.plugins.module_utils._bundle_journal import Journal, Progress
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import image_plans, keep_tag, target_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_reference
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import Throttle

from .writer import Writer, digest_of

DIGEST = digest_of(b"x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker.io/library/nginx:1.27", ("docker.io/library/nginx", "1.27")),
        ("docker.io/library/nginx", ("docker.io/library/nginx", "")),
        (f"quay.io/a/b@{DIGEST}", ("quay.io/a/b", "")),
        (f"quay.io/a/b:v1@{DIGEST}", ("quay.io/a/b", "v1")),
        ("registry.corp:5000/team/app:2", ("registry.corp_5000/team/app", "2")),
        ("registry.corp:5000/team/app", ("registry.corp_5000/team/app", "")),
        ("localhost/x:1", ("localhost/x", "1")),
        ("Registry.Corp/x:1", ("registry.corp/x", "1")),
    ],
)
def test_places_of_images(name, expected):
    assert target_of(name) == expected


@pytest.mark.parametrize(
    "name", ["nginx", "library/nginx:1", "docker.io/", "docker.io/UP:1", "a.b/../c:1", "", "a.b//c:1"]
)
def test_names_that_have_no_place(name):
    with pytest.raises(FormatError, match="not the full name of an image"):
        target_of(name)


def bundle(name="platform", version="1"):
    writer = Writer(name=name, version=version)
    top = writer.manifest(b"layer")
    fallback = writer.index(writer.referrer(top))
    tags = {top.replace(":", "-"): fallback, f"{top.replace(':', '-')}.sig": writer.manifest(b"cosign")}
    writer.image("docker.io/library/one:1", top, tags=tags)
    return writer, parse(writer.document())


@pytest.mark.parametrize(
    ("name", "version"), [("platform", "1"), ("a", "2026.11.1+build.7"), ("n" * 90, "v" * 60), ("n" * 120, "1")]
)
def test_tags_that_keep_are_tags_and_differ(name, version):
    tag = keep_tag(bundle(name, version)[1], DIGEST)
    assert check_reference(tag) == tag
    assert tag.startswith("hp-")
    assert tag.endswith(DIGEST[7:19])
    assert tag != keep_tag(bundle(name, version + "1")[1], DIGEST)
    assert tag != keep_tag(bundle(name, version)[1], digest_of(b"y"))


def test_lists_of_referrers_are_no_common_manifests():
    writer, document = bundle()
    (plan,) = image_plans(document)
    (fallback,) = plan.lists.values()
    assert fallback not in plan.manifests
    # What is listed there is one, and comes after what it belongs to.
    assert len(plan.manifests) == 3
    assert plan.manifests[0] == plan.image.digest
    assert set(plan.tags) == {"1", plan.keep, f"{plan.image.digest.replace(':', '-')}.sig"}
    assert set(plan.blobs) == {blob for digest in plan.manifests for blob in writer.manifests[digest]["blobs"]}


def test_a_throttle_halves_and_recovers(monkeypatch):
    throttle = Throttle(8)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    throttle.slower()
    # What is under way fails together.
    throttle.slower()
    assert (throttle._limit, throttle.least) == (4, 4)
    for expected in (2, 1, 1):
        now[0] += 2
        throttle.slower()
        assert throttle._limit == expected
    for _number in range(4):
        throttle.faster()
    assert throttle._limit == 2
    for _number in range(1000):
        throttle.faster()
    assert (throttle._limit, throttle.least) == (8, 1)


def test_a_throttle_lets_no_more_in():
    throttle, most, lock, inside = Throttle(4), [0], threading.Lock(), [0]
    throttle.slower()

    def work():
        with throttle:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.01)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2


def test_a_journal_remembers_large_uploads_of_its_registry(tmp_path):
    folder, url, large = str(tmp_path / "state"), "http://a/v2/x/blobs/uploads/1?_state=s", 5 << 20
    journal = Journal(folder, "http://a", "1" * 64)
    journal.note("x", DIGEST, large, url)
    journal.note("y", DIGEST, 100, url)
    other = Journal(folder, "http://a", "1" * 64)
    assert "cannot be used" in other.problem
    assert other.begun("x", DIGEST) == ""
    journal.close()
    again = Journal(folder, "http://a", "1" * 64)
    assert (again.begun("x", DIGEST), again.begun("y", DIGEST), again.problem) == (url, "", "")
    for registry, bundle_sum in (("http://b", "1" * 64), ("http://a", "2" * 64)):
        assert Journal(folder, registry, bundle_sum).begun("x", DIGEST) == ""
    again.note("x", DIGEST, large, "")
    again.close()
    assert Journal(folder, "http://a", "1" * 64).begun("x", DIGEST) == ""


def test_a_journal_that_is_damaged_or_cannot_be_written_is_done_without(tmp_path):
    journal = Journal(str(tmp_path), "http://a", "1")
    journal.note("x", DIGEST, 5 << 20, "http://a/1")
    journal.close()
    (path,) = tmp_path.glob("*.json")
    for damage in (b"", b"[]", b"{", b'{"x": 1}'):
        path.write_bytes(damage)
        journal = Journal(str(tmp_path), "http://a", "1")
        assert journal.begun("x", DIGEST) == ""
        journal.close()
    (tmp_path / "file").touch()
    assert "cannot be used" in Journal(str(tmp_path / "file"), "http://a", "1").problem
    assert Journal("", "http://a", "1").problem == ""


def test_progress_never_goes_back(tmp_path):
    path = tmp_path / "progress.json"
    progress = Progress(str(path), 100, 2)
    seen = []
    for end, count in ((40, 40), (10, 10), (40, 30), (60, 20)):
        progress.sent(DIGEST, end, count)
        progress.write(force=True)
        seen.append(json.loads(path.read_text())["bytes_sent"])
    assert seen == [40, 40, 40, 60]
    assert progress.wire == 100
    progress.image_done()
    document = json.loads(path.read_text())
    assert (document["bytes_total"], document["images_done"], document["images_total"]) == (100, 1, 2)
    assert [one.name for one in tmp_path.iterdir()] == ["progress.json"]
