# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes that come one at a time, deltas on what the receiver has, and a server of the 2.8 line."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from tests.unit.bundle.writer import Writer, digest_of

from .conftest import fill, noise
from .test_push import is_whole, statuses

ONE, TWO = "docker.io/library/one:1", "docker.io/library/two:1"


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_volumes_one_at_a_time_in_any_order(push, session, tmp_path, key, order):
    """Every content of an image, its manifests too, may come with another volume."""
    writer = fill(Writer(volumes=3))
    for number, digest in enumerate(sorted(writer.sizes)):
        writer.places[digest] = number % 3 + 1
    paths = writer.write(tmp_path / "in", key)
    for step, number in enumerate(order):
        result = push([paths[number - 1]])
        assert not result.get("failed"), result
        assert result["missing_volumes"] == [other for other in (1, 2, 3) if other != number]
        waiting = {name for name, status in statuses(result).items() if status == "waiting"}
        assert result["complete"] is (step == 2)
        assert result["complete"] is not bool(waiting)
        for one in result["images"]:
            assert bool(one["waits_for"]) == (one["status"] == "waiting")
            assert set(one["waits_for"]) <= set(order[step + 1 :])
            if one["status"] == "waiting":
                there = take_inventory(session).repositories.get(one["repository"])
                assert there is None or one["tag"] not in there.tags
    is_whole(session, writer)
    for path in (*paths, paths):
        again = push(path if isinstance(path, list) else [path])
        assert (again["changed"], again["complete"]) == (False, True)


@pytest.fixture
def parent(tmp_path, key):
    writer = Writer()
    writer.image(ONE, writer.manifest(noise(0), noise(1)))
    return writer, writer.write(tmp_path / "parent", key)


@pytest.fixture
def delta(tmp_path, key, parent):
    """One image of before as it was, and another that shares a layer with it, in a repository of its own."""
    old = parent[0]
    writer = Writer(version="2", parent={"name": "platform", "version": "1", "sha256": digest_of(old.document())[7:]})
    writer.image(ONE, writer.manifest(noise(0), noise(1)))
    for digest in writer.sizes:
        writer.places[digest] = 0
    writer.image(TWO, writer.manifest(noise(1), noise(2), config=b'{"two": 2}'))
    return writer, writer.write(tmp_path / "delta", key)


def test_a_delta_sends_what_is_new(push, session, parent, delta):
    push(parent[1])
    writer, paths = delta
    result = push(paths)
    assert result["complete"] is True, result
    assert result["totals"]["sent"] == len(noise(2)) + len(b'{"two": 2}')
    assert result["totals"]["mounted"] == len(noise(1))
    assert result["parent"]["version"] == "1"
    assert client.head_manifest(session, "docker.io/library/two", "1").digest == writer.images[TWO]["digest"]
    # The image that did not change is kept by the newer bundle as well.
    assert len(client.list_tags(session, "docker.io/library/one")) == 3
    assert push(paths)["changed"] is False


def test_a_delta_without_its_parent_is_refused_before_anything_is_pushed(push, session, delta):
    writer, paths = delta
    for check in (True, False):
        result = push(paths, check=check)
        assert result["failed"]
        assert result["absent"] == sorted(digest for digest, place in writer.places.items() if place == 0)
        assert result["incomplete"] == [ONE, TWO]
        assert "a delta on platform 1" in result["msg"]
        assert result["absent"][0] in result["msg"]
        assert client.list_repositories(session) == []


def test_a_delta_finds_what_lies_elsewhere(push, session, delta, tmp_path, key):
    """What the receiver has may be in a repository that the bundle does not name, and its tags may have moved."""
    other = Writer(name="other")
    other.image("quay.io/somewhere/else:9", other.manifest(noise(0), noise(1)))
    push(other.write(tmp_path / "other", key))
    writer, paths = delta
    result = push(paths)
    assert result["complete"] is True, result
    assert result["totals"]["sent"] == len(noise(2)) + len(b'{"two": 2}')
    for name in (ONE, TWO):
        digest = client.head_manifest(session, name.rpartition(":")[0], "1").digest
        assert digest == writer.images[name]["digest"]


class TestOldServer:
    @pytest.fixture
    def line(self):
        return "2.8"

    def test_it_is_warned_about(self, push, session, tmp_path, key):
        writer = Writer()
        index = writer.index(writer.manifest(noise(0)), writer.manifest(noise(1), kind="docker"))
        signature = writer.referrer(index)
        writer.image("docker.io/library/multi:1", index, referrers=[signature])
        paths = writer.write(tmp_path / "in", key)
        result = push(paths)
        assert result["complete"] is True, result
        (warning,) = result["warnings"]
        assert "without delete-untagged" in str(warning)
        assert push(paths)["changed"] is False
        assert client.head_manifest(session, "docker.io/library/multi", "1").digest == index


def test_a_new_server_is_not_warned_about(push, parent):
    assert "warnings" not in push(parent[1])
