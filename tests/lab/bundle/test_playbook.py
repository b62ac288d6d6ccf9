# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connected side as users run it: from a wish to a verified bundle, again, in check mode, and away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.lab.modules.distribution import free_port


@pytest.fixture
def play(workplace, sources, tmp_path, key):
    """Return a function that runs the playbook and returns its numbers for localhost and what it said."""
    wish = {"name": "shop", "version": "1", "images": ["nginx:1.27"], "files": ["notes"]}
    (workplace / "bundle.yml").write_text(yaml.safe_dump(wish))
    (workplace / "notes").write_text("Read me.\n")

    def play(*arguments: str, **variables) -> tuple[dict[str, int], str]:
        given = {
            "registry_bundle_wish": str(workplace / "bundle.yml"),
            "registry_bundle_key": str(key),
            "registry_bundle_cache": str(tmp_path / "cache"),
            "registry_bundle_sources": sources,
            "registry_bundle_bandwidth": 20,
        } | variables
        (tmp_path / "variables.json").write_text(json.dumps(given))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        command = [program, "homeport.registry.airgap_build", "-e", f"@{tmp_path / 'variables.json'}", *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=workplace)
        recap = done.stdout.rpartition("PLAY RECAP")[2].partition(" : ")[2].split()
        numbers = {name: int(number) for name, _equals, number in (part.partition("=") for part in recap)}
        return numbers, done.stdout + done.stderr

    return play


def test_from_a_wish_to_a_verified_bundle(play, stock, workplace):
    stock.multi("library/nginx", "1.27")
    volume, lock = workplace / "bundles/bundle-shop-1.tar", workplace / "bundle.lock.json"
    numbers, said = play("--check")
    assert (numbers.get("failed"), numbers.get("changed")) == (0, 2), said
    assert not volume.exists()
    assert not lock.exists()
    numbers, said = play()
    assert (numbers["failed"], numbers["changed"]) == (0, 3), said
    assert volume.exists()
    assert "locked at sha256:" in said
    assert "to carry all" in said
    assert "Verify the bundle as the receiver does" in said
    for arguments in ((), ("--check",)):
        numbers, said = play(*arguments)
        assert (numbers["failed"], numbers["changed"]) == (0, 0), said
    # What was reviewed is built, whatever has moved since.
    stock.multi("library/nginx", "1.27", extra=b"a fix")
    numbers, said = play(registry_bundle_update=False)
    assert (numbers["failed"], numbers["changed"]) == (0, 0), said
    numbers, said = play("--check")
    assert numbers["changed"] == 1, said
    assert "docker.io/library/nginx:1.27: moved from sha256:" in said
    # The tasks are hidden for their passwords, what went wrong is not.
    numbers, said = play(registry_bundle_sources=[{"host": "docker.io", "url": f"http://127.0.0.1:{free_port()}"}])
    assert numbers["failed"] == 1
    assert "Could not resolve docker.io/library/nginx:1.27 (" in said.partition("Say what went wrong")[2]
    numbers, said = play(registry_bundle_state="absent")
    assert (numbers["failed"], numbers["changed"]) == (0, 1), said
    assert not volume.exists()
    numbers, said = play(registry_bundle_state="absent")
    assert (numbers["failed"], numbers["changed"]) == (0, 0), said


def test_what_is_missing_is_said_first(play, workplace):
    numbers, said = play(registry_bundle_key="", registry_bundle_update=False)
    assert numbers["failed"] == 1
    assert "registry_bundle_key names no private key" in said
    assert "There is no lock" in said
    assert not (workplace / "bundles").exists()
