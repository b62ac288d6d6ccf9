# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that is new, a delta, and a registry that gives the rest to nobody without an account."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.modules import bundle_push
from tests.lab.modules.distribution import Distribution
from tests.lab.nodes.archives import HERE
from tests.lab.nodes.conftest import REGISTRY
from tests.lab.nodes.machine import Machine, Programs
from tests.lab.nodes.test_images import images_of
from tests.unit.bundle.writer import Key, Writer, digest_of

IMAGE = "docker.io/library/one:1"
READER = ("puller", "word-of-the-one-who-pulls")
PLAY = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "roles": [{"role": "homeport.registry.registry_node_images"}],
    }
]


def bundle(**about) -> Writer:
    """Return the writer of a bundle with one image for the beginning."""
    writer = Writer(**about)
    config = json.dumps({"os": "linux", "architecture": HERE}).encode()
    writer.image(IMAGE, writer.manifest(random.Random(1).randbytes(60_000), config=config))
    writer.images[IMAGE]["bootstrap"] = True
    return writer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Distribution]:
    """A registry that wants an account for everything."""
    found = Distribution(str(REGISTRY), tmp_path / "registry", store=tmp_path / "store", users=[READER])
    found.start()
    yield found
    found.stop()


@pytest.fixture
def machine(build: Callable[..., Machine], old: Programs) -> Machine:
    """One kind is enough: what is imported is the same."""
    return build(old)


@pytest.fixture
def play(run_module, server: Distribution, machine: Machine, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Return a function that runs the role with a delta to what the registry holds; it returns code and output."""
    key = Key()
    whole = bundle()
    account = {"username": READER[0], "password": READER[1]}
    paths = [str(path) for path in whole.write(tmp_path / "whole", key)]
    pushed = run_module(bundle_push, url=server.url, bundle=paths, trusted_keys=[key.public], **account)
    assert not pushed.get("failed"), pushed
    delta = bundle(version="2", parent={"name": "platform", "version": "1", "sha256": digest_of(whole.document())[7:]})
    for digest in set(delta.sizes) - set(delta.manifests):
        delta.places[digest] = 0
    given = {
        "ansible_python_interpreter": sys.executable,
        "registry_node_images_bundle": [str(path) for path in delta.write(tmp_path / "delta", key)],
        "registry_node_images_trusted_keys": [key.public],
        "registry_node_images_runtime_endpoint": machine.endpoint,
        "registry_node_images_registry": {"url": server.url},
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"}

    def play(**more: str) -> tuple[int, str]:
        (tmp_path / "variables.json").write_text(json.dumps({**given, **more}))
        line = [
            program,
            "-vvv",
            "-i",
            "localhost,",
            "-e",
            f"@{tmp_path / 'variables.json'}",
            str(tmp_path / "play.yml"),
        ]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return play


def test_what_a_delta_leaves_out_comes_with_an_account(play: Callable[..., tuple[int, str]], machine: Machine) -> None:
    code, said = play()
    assert code
    refusal = said.partition("Say why they could not be written")[2]
    assert "is in platform 1, on which this delta builds" in refusal
    assert "401" in refusal
    assert images_of(machine) == {}

    user, word = (f"registry_node_images_registry_{name}" for name in ("username", "password"))
    code, said_then = play(**{user: READER[0], word: READER[1]})
    assert not code, said_then
    assert set(images_of(machine)) == {IMAGE}
    code, again = play(**{user: READER[0], word: READER[1]})
    assert not code, again
    assert "changed=0" in again
    assert READER[1] not in said + said_then + again
