# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images come to a node without a registry, keep their digests, and go again without taking anybody else's along."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.modules import node_images
from tests.lab.nodes.archives import ELSEWHERE, Archive
from tests.lab.nodes.engines import engine

FIRST, SECOND = "docker.io/library/first:1", "registry.example.com:5000/team/second:2"


@pytest.fixture
def node(machine):
    """Return a function that runs the module on the machine, which must succeed."""

    def run(**options):
        result = machine.run_module("node_images", runtime_endpoint=machine.endpoint, **options)
        assert not result.get("failed"), result["msg"]
        assert set(result) - {"changed", "invocation"} == set(yaml.safe_load(node_images.RETURN))
        return result

    return run


@pytest.fixture
def refused(machine):
    """Return a function that runs the module, which must fail."""

    def run(**options):
        result = machine.run_module("node_images", runtime_endpoint=machine.endpoint, **options)
        assert result.get("failed"), result
        return result

    return run


def images_of(machine):
    """Return what CRI says: by each name the digest names, and whether it is pinned."""
    command = ["--timeout=60s", f"--runtime-endpoint=unix://{machine.endpoint}"]
    endpoint = f"--image-endpoint=unix://{machine.endpoint}"
    done = machine.inside(machine.programs.crictl, *command, endpoint, "images", "--output", "json")
    assert not done.returncode, done.stderr
    return {
        name: (one["repoDigests"], bool(one.get("pinned")))
        for one in json.loads(done.stdout)["images"]
        for name in one["repoTags"]
    }


def state_of(machine):
    """Return every image record with its labels."""
    return sorted(machine.ctr("images", "ls").stdout.splitlines()[1:])


def test_the_twelve_steps(machine, node, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one")
    path = archive.write(tmp_path / "first.tar")
    second = archive.add(SECOND, "two", sparse=False)
    both = archive.write(tmp_path / "both.tar")

    result = node(images=[first], archive="/nowhere", check=True)
    assert (result["changed"], result["missing"]) == (True, [FIRST])
    assert state_of(machine) == []

    result = node(images=[first], archive=path)
    assert (result["changed"], result["missing"], result["held"]) == (True, [FIRST], [FIRST])
    assert result["actions"] == [f"import {FIRST}"]
    [digests, pinned] = images_of(machine)[FIRST]
    assert digests == [f"docker.io/library/first@{first['digest']}"]
    # Debian's 1.6 is older than the label.
    assert pinned is (machine.programs.version >= (1, 7))

    there = state_of(machine)
    for check in (True, False):
        # No archive is needed where nothing is missing.
        result = node(images=[first], archive="/nowhere", check=check)
        assert (result["changed"], result["actions"], result["missing"]) == (False, [], [])
        assert state_of(machine) == there

    result = node(images=[first, second], archive=both, check=True)
    assert result["actions"] == [f"import {SECOND}"]
    assert state_of(machine) == there
    assert node(images=[first, second], archive=both)["changed"] is True
    assert set(images_of(machine)) == {FIRST, SECOND}
    there = state_of(machine)
    for check in (True, False):
        assert node(images=[first, second], check=check)["changed"] is False
        assert state_of(machine) == there

    result = node(state="absent", check=True)
    assert result["changed"] is True
    assert len(result["actions"]) == 4
    assert state_of(machine) == there
    assert node(state="absent")["changed"] is True
    assert state_of(machine) == []
    assert images_of(machine) == {}
    for check in (True, False):
        assert node(state="absent", check=check)["changed"] is False


def test_what_an_older_bundle_brought_goes_when_nothing_needs_it(machine, node, tmp_path):
    old, gone = Archive(), "docker.io/library/gone:1"
    first = old.add(FIRST, "one")
    node(images=[first, old.add(gone, "left")], archive=old.write(tmp_path / "old.tar"))
    new = Archive()
    moved = new.add(FIRST, "two")
    wanted = {"images": [moved], "archive": new.write(tmp_path / "new.tar"), "purge": True}
    before, digest = f"docker.io/library/first@{first['digest']}", f"{FIRST}@{first['digest']}"

    there = state_of(machine)
    result = node(**wanted, check=True)
    assert (result["changed"], before in result["released"], gone in result["released"]) == (True, True, True)
    assert state_of(machine) == there
    # Somebody elsewhere still starts the old one.
    result = node(**wanted, needed=[digest])
    assert (result["kept"], gone in result["released"], gone in images_of(machine)) == ([before], True, False)
    for check in (True, False):
        assert node(**wanted, needed=[digest], check=check)["changed"] is False
    result = node(**wanted)
    assert (result["changed"], result["released"], result["kept"]) == (True, [before], [])
    names = {line.split()[0] for line in state_of(machine)}
    assert {FIRST, f"docker.io/library/first@{moved['digest']}"} <= names
    assert before not in names
    assert node(**wanted)["changed"] is False


def test_a_container_is_made_of_what_was_imported(machine, node, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one")
    node(images=[first], archive=archive.write(tmp_path / "images.tar"))
    # CRI finds it by the name with tag and digest, as a pinned Pod has it, and asks nobody.
    for name in (FIRST, f"{FIRST}@{first['digest']}", f"docker.io/library/first@{first['digest']}"):
        endpoint = f"unix://{machine.endpoint}"
        done = machine.inside(
            machine.programs.crictl, f"--runtime-endpoint={endpoint}", f"--image-endpoint={endpoint}", "inspecti", name
        )
        assert not done.returncode, done.stderr


def test_an_image_that_was_there_already_is_pinned_and_stays(machine, node, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one")
    path = archive.write(tmp_path / "images.tar")
    assert not machine.ctr("images", "import", "--no-unpack", path).returncode
    # CRI takes note of it, by labels and one more name, only a moment later.
    deadline = time.monotonic() + 30
    while [("managed" in line) for line in state_of(machine)] != [True, True]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    untouched = state_of(machine)

    result = node(images=[first])
    assert result["missing"] == []
    assert result["actions"][0].startswith("name docker.io/library/first@sha256:")
    assert f"pin {FIRST}" in result["actions"]
    assert node(images=[first])["changed"] is False

    node(images=[first], state="absent")
    assert state_of(machine) == untouched


def test_a_pin_can_be_taken_back(machine, node, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one")
    node(images=[first], archive=archive.write(tmp_path / "images.tar"))
    assert node(images=[first], pin=False)["actions"][0] == f"unpin {FIRST}"
    assert not images_of(machine)[FIRST][1]
    assert node(images=[first], pin=False)["changed"] is False


def test_letting_one_go_keeps_the_other(machine, node, tmp_path):
    archive = Archive()
    first, second = archive.add(FIRST, "one"), archive.add(SECOND, "two")
    node(images=[first, second], archive=archive.write(tmp_path / "images.tar"))
    node(images=[first], state="absent")
    assert set(images_of(machine)) == {SECOND}


def test_a_new_digest_replaces_the_old_one(machine, node, tmp_path):
    old, new = Archive(), Archive()
    node(images=[old.add(FIRST, "old")], archive=old.write(tmp_path / "old.tar"))
    wanted = new.add(FIRST, "new")
    result = node(images=[wanted], archive=new.write(tmp_path / "new.tar"))
    assert result["missing"] == [FIRST]
    assert images_of(machine)[FIRST][0] == [f"docker.io/library/first@{wanted['digest']}"]


def test_an_archive_with_another_digest_is_refused(machine, refused, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one")
    wrong = {**first, "digest": f"sha256:{'0' * 64}"}
    result = refused(images=[wrong], archive=archive.write(tmp_path / "images.tar"))
    assert f"afterwards {FIRST} is not there with its digest" in result["msg"]


def test_an_image_for_another_machine_is_refused(refused, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one", architecture=ELSEWHERE)
    result = refused(images=[first], archive=archive.write(tmp_path / "images.tar"))
    assert f"afterwards {FIRST} is not there with its digest and for this platform" in result["msg"]


def test_a_missing_archive_is_named(refused):
    digest = f"sha256:{'0' * 64}"
    result = refused(images=[{"name": FIRST, "digest": digest}], archive="/nowhere.tar")
    assert f"there is no such file, and {FIRST} is missing" in result["msg"]
    assert "from the bundle" in result["remedy"]


def test_half_an_archive_is_refused(machine, refused, tmp_path):
    archive = Archive()
    first = archive.add(FIRST, "one" * 5000)
    path = tmp_path / "images.tar"
    archive.write(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "Could not import images in containerd" in refused(images=[first], archive=str(path))["msg"]
    assert images_of(machine) == {}


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("nginx", f"sha256:{'0' * 64}"),
        ("library/nginx:1", f"sha256:{'0' * 64}"),
        ("docker.io/library/nginx:1", "sha256:abc"),
        ("docker.io/library/nginx:1 -x", f"sha256:{'0' * 64}"),
    ],
)
def test_half_a_name_is_refused(refused, name, digest):
    assert "Could not read the images" in refused(images=[{"name": name, "digest": digest}])["msg"]


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_another_runtime_is_refused_with_its_own_way(build, kind):
    machine = engine(kind, build)
    options = {"runtime": kind} | ({} if kind == "podman" else {"runtime_endpoint": machine.endpoint})
    result = machine.run_module("node_images", **options)
    assert "that is not containerd" in result["msg"]
    assert "pinned_images" in result["remedy"]
