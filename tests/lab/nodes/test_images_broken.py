# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Imports that end in the middle: for want of room, and because somebody has killed them."""

from __future__ import annotations

import base64
import dataclasses
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.nodes.archives import Archive
from tests.lab.nodes.machine import Machine, Programs, Result
from tests.lab.nodes.test_images import FIRST, SECOND, images_of, state_of
from tests.verify.cluster import eventually

# What cannot be compressed, and is more than there is room for.
LARGE = base64.b64encode(random.Random(1).randbytes(24 << 20)).decode()


def attempt(machine: Machine, check: bool = False, **options) -> Result:
    """Run the module on the machine and return what it says."""
    return machine.run_module("node_images", check=check, runtime_endpoint=machine.endpoint, **options)


@dataclasses.dataclass
class Disk:
    """A disk of its own, so that it can be full."""

    folder: Path

    def resize(self, size: str) -> None:
        """Give it this size, whoever uses it."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)

    def used(self) -> int:
        """Return how many bytes of it are used."""
        return shutil.disk_usage(self.folder).used


@pytest.fixture
def small(build: Callable[..., Machine], programs: Programs) -> Iterator[tuple[Machine, Disk]]:
    """Return a machine whose containerd has a disk of 16 MB to itself."""
    machine = build(programs, start=False)
    disk = Disk(machine.folder / "root")
    disk.folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "small", str(disk.folder)], check=True)
    try:
        machine.start()
        yield machine, disk
    finally:
        machine.stop()
        subprocess.run(["umount", "--lazy", str(disk.folder)], check=True)


def test_a_full_disk_is_named_and_nothing_of_it_is_seen(small: tuple[Machine, Disk], tmp_path: Path) -> None:
    machine, disk = small
    archive = Archive()
    both = [archive.add(FIRST, "it would fit"), archive.add(SECOND, LARGE)]
    path = archive.write(tmp_path / "both.tar")
    before = disk.used()
    for _again in range(2):
        refused = attempt(machine, images=both, archive=path)
        assert refused.get("failed"), refused
        assert "Could not import images in containerd" in refused["msg"]
        assert "no space left on device" in refused["msg"]
        assert "the room on its disk" in refused["remedy"]
        assert state_of(machine) == []
        assert images_of(machine) == {}
    # What has arrived of it goes again, so that others on this node have room.
    eventually(lambda: disk.used() < before + (4 << 20), "containerd has given back the room", seconds=60)

    disk.resize("200m")
    result = attempt(machine, images=both, archive=path)
    assert (result["changed"], result["missing"]) == (True, [FIRST, SECOND]), result
    assert set(images_of(machine)) == {FIRST, SECOND}
    assert attempt(machine, images=both)["changed"] is False


# A ctr that does what it is told, and then lets nobody go on.
FATAL = """#!/bin/sh
case "$*" in
  *"images import"*) step=import ;;
  *"images tag"*) step=tag ;;
  *"images label"*) step=label ;;
  *"namespaces label"*"=yes"*) step=promise ;;
  *"namespaces label"*) step=strike ;;
esac
%s "$@"
code=$?
[ "$step" = "$(cat %s)" ] || exit $code
# The module, and the timeout between.
read -r _pid _name _state module _rest </proc/$PPID/stat
kill -9 $module $PPID
"""


@pytest.mark.parametrize("step", ["promise", "import", "tag", "label", "strike"])
def test_whoever_was_killed_knows_its_own_again(
    build: Callable[..., Machine], programs: Programs, tmp_path: Path, step: str
) -> None:
    # The module takes the ctr beside containerd.
    beside, killing = tmp_path / "programs", tmp_path / "step"
    beside.mkdir()
    shutil.copy(programs.containerd, beside / "containerd")
    (beside / "ctr").write_text(FATAL % (programs.ctr, killing))
    (beside / "ctr").chmod(0o755)
    machine = build(dataclasses.replace(programs, containerd=str(beside / "containerd")))
    archive = Archive()
    first = archive.add(FIRST, "one")
    path = archive.write(tmp_path / "first.tar")

    killing.write_text(step)
    with pytest.raises(AssertionError):
        attempt(machine, images=[first], archive=path)
    killing.write_text("nothing")
    assert attempt(machine, images=[first], check=True)["changed"] is (step != "strike")
    result = attempt(machine, images=[first], archive=path)
    assert not result.get("failed"), result
    rows = [row for row in state_of(machine) if row.startswith("docker.io/")]
    assert ["pinned=pinned" in row and "held=imported" in row for row in rows] == [True, True]
    assert "importing" not in machine.ctr("namespaces", "ls").stdout
    assert attempt(machine, images=[first])["changed"] is False
    # What an import has brought goes again.
    assert attempt(machine, state="absent")["changed"] is True
    assert state_of(machine) == []
