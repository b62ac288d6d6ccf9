# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle built by its job template, with the key that a credential injects."""

from __future__ import annotations

import json
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.bundle.stock import Stock
from tests.lab.controller.job import Controller, Credential, Job
from tests.lab.modules.distribution import Distribution
from tools.paths import ROOT

PASSPHRASE = "word-that-opens-the-key"
ACCOUNT = ("builder", "word-of-the-one-who-builds")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Distribution]:
    """The registry that the images come from. It wants an account."""
    server = Distribution(
        str(ROOT / ".lab/bin/registry"), tmp_path / "source", store=tmp_path / "store", users=[ACCOUNT]
    )
    server.start()
    transport = Transport()
    Stock(Session(transport, server.url, *ACCOUNT)).multi("library/nginx", "1.27")
    transport.close()
    yield server
    server.stop()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key that wants a passphrase; its public half lies beside it."""
    path = tmp_path / "key"
    line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "builder", "-f", str(path)]
    subprocess.run(line, check=True)
    return path


@pytest.fixture
def controller(source: Distribution, key: Path, tmp_path: Path) -> Controller:
    """Knows the key as a credential, and in its inventory how the source is reached."""
    public = key.with_suffix(".pub").read_text("utf-8")
    bundles = Credential("homeport_bundle_key", key=key.read_text("utf-8"), passphrase=PASSPHRASE, public_key=public)
    found = Controller(tmp_path / "jobs", {}, bundles)
    found.variables = {
        "registry_bundle_cache": str(tmp_path / "cache"),
        "registry_bundle_sources": [
            {"host": "docker.io", "url": source.url, "username": ACCOUNT[0], "password": ACCOUNT[1]}
        ],
    }
    return found


@pytest.fixture
def answers(tmp_path: Path) -> dict[str, t.Any]:
    """What a person says: where the wish is and where the volumes go."""
    wish = tmp_path / "media" / "bundle.yml"
    wish.parent.mkdir()
    wish.write_text(yaml.safe_dump({"name": "shop", "version": "1", "images": ["nginx:1.27"]}), encoding="utf-8")
    return {"registry_bundle_wish": str(wish), "registry_bundle_dest": str(wish.parent / "volumes")}


def kept_no_secret(key: Path, *jobs: Job) -> None:
    hidden = {PASSPHRASE, ACCOUNT[1], *key.read_text("utf-8").splitlines()[1:-1]}
    for job in jobs:
        text = job.text()
        assert len(text) > 1000
        assert not [word[:6] for word in hidden if word in text]


def test_a_bundle_is_built_with_the_key_of_a_credential(
    controller: Controller, answers: dict[str, t.Any], key: Path
) -> None:
    looked = controller.launch("homeport_airgap_build", survey=answers, check=True)
    assert looked.status == "successful", looked.output
    planned = looked.artifacts["homeport_airgap_build"]
    assert planned["check_mode"]
    assert planned["changed"]
    assert not planned["volumes"]
    assert not Path(answers["registry_bundle_dest"]).exists()

    made = controller.launch("homeport_airgap_build", survey=answers)
    assert made.status == "successful", made.output
    built = made.artifacts["homeport_airgap_build"]
    assert (built["name"], built["version"], built["changed"], built["verified"]) == ("shop", "1", True, True)
    (volume,) = built["volumes"]
    assert Path(volume["file"]).stat().st_size == volume["bytes"] == built["bytes"]
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(key.with_suffix(".pub"))], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert built["signed_by"] == fingerprint
    images = json.loads(Path(built["lock"]).read_text("utf-8"))["images"]
    assert [image["name"] for image in images] == ["docker.io/library/nginx:1.27"]

    again = controller.launch("homeport_airgap_build", survey=answers)
    assert not again.changed
    assert again.artifacts["homeport_airgap_build"] == {
        **built,
        "changed": False,
        "moved": [],
        "volumes": [{**volume, "changed": False}],
    }
    kept_no_secret(key, looked, made, again)


def test_a_wrong_passphrase_is_said(controller: Controller, answers: dict[str, t.Any], key: Path) -> None:
    (bundles,) = controller.credentials
    bundles.inputs["passphrase"] = "word-that-opens-another"
    job = controller.launch("homeport_airgap_build", survey=answers)
    assert job.status == "failed"
    assert "passphrase" in job.output.partition("Say what went wrong")[2]
    assert not list(Path(answers["registry_bundle_dest"]).glob("*.tar"))
    kept_no_secret(key, job)
    assert "word-that-opens-another" not in job.text()
