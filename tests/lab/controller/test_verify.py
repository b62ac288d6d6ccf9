# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the proof says of a registry that is not well, and of one that it cannot ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.controller.job import Controller, Credential
from tests.lab.inventory.images import Pusher, Store
from tests.lab.modules.distribution import Distribution
from tools.paths import ROOT

WORDS = {"ci": "word-of-the-one-who-pushes", "nodes": "word-of-the-one-who-pulls"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Distribution]:
    """One process alone: whoever may pull may push."""
    found = Distribution(
        str(ROOT / ".lab/bin/registry"), tmp_path / "server", store=tmp_path / "store", users=list(WORDS.items())
    )
    found.start()
    yield found
    found.stop()


def users(reader_role: str = "reader") -> Credential:
    made = Credential(
        "homeport_registry_users",
        writer_name="ci",
        writer_password=WORDS["ci"],
        reader_name="nodes",
        reader_password=WORDS["nodes"],
    )
    made.injectors["extra_vars"]["registry_auth_users"][1]["role"] = reader_role
    return made


def test_what_is_lost_is_found_and_handed_on(server: Distribution, tmp_path: Path) -> None:
    transport = Transport()
    pusher = Pusher(Session(transport, server.url, "ci", WORDS["ci"]))
    layer = pusher.blob("team/app", b"layer" * 100)
    pusher.image("team/app", "v1", b"layer" * 100)
    transport.close()
    controller = Controller(tmp_path, {"depot": {"registry_verify_url": server.url}}, users("writer"))
    well = controller.launch("homeport_verify")
    assert well.status == "successful", well.output
    assert well.artifacts["homeport_verify"]["depot"]["ok"]

    Store(tmp_path / "store").blob(layer["digest"]).unlink()
    lost = controller.launch("homeport_verify")
    assert lost.status == "failed"
    found = lost.artifacts["homeport_verify"]["depot"]
    assert not found["ok"]
    assert found["healthy"]
    assert not found["verified"]
    assert found["problem_count"] == 1
    assert layer["digest"] in found["problems"][0]
    assert layer["digest"] in lost.output
    reported = controller.launch("homeport_verify", survey={"registry_verify_only_report": "true"})
    assert reported.status == "successful"
    assert reported.artifacts["homeport_verify"]["depot"] == found
    for job in (well, lost, reported):
        assert not [word for word in WORDS.values() if word in job.text()]


def test_platforms_that_a_bundle_has_left_out_are_not_lost(server: Distribution, tmp_path: Path) -> None:
    transport = Transport()
    session = Session(transport, server.url, "ci", WORDS["ci"])
    pusher = Pusher(session)
    children = [pusher.image("team/app", None, text) for text in (b"for one", b"for the other")]
    pusher.index("team/app", "v1", *children)
    client.delete_manifest(session, "team/app", children[1].digest)
    transport.close()
    told = {"registry_verify_url": server.url}
    job = Controller(tmp_path / "strict", {"depot": told}, users("writer")).launch("homeport_verify")
    assert job.status == "failed"
    assert children[1].digest in job.artifacts["homeport_verify"]["depot"]["problems"][0]
    told["registry_verify_allow_sparse_indexes"] = "true"
    job = Controller(tmp_path / "sparse", {"depot": told}, users("writer")).launch("homeport_verify")
    assert job.status == "successful", job.output


def test_an_account_that_may_do_more_than_it_should_is_found(server: Distribution, tmp_path: Path) -> None:
    controller = Controller(tmp_path, {"depot": {"registry_verify_url": server.url}}, users())
    job = controller.launch("homeport_verify")
    assert job.status == "failed"
    found = job.artifacts["homeport_verify"]["depot"]
    assert not found["healthy"]
    assert found["verified"]
    assert "refused to user nodes" in job.output


def test_a_registry_that_nobody_outside_reaches_is_not_asked(tmp_path: Path) -> None:
    job = Controller(tmp_path, {"depot": {}}, users()).launch("homeport_verify")
    assert job.status == "failed"
    assert "registry_verify_url" in job.output
    assert not job.artifacts


def test_a_registry_that_does_not_answer_leaves_a_reason(tmp_path: Path) -> None:
    controller = Controller(tmp_path, {"depot": {"registry_verify_url": "http://127.0.0.1:9"}}, users())
    job = controller.launch("homeport_verify")
    assert job.status == "failed"
    found = job.artifacts["homeport_verify"]["depot"]
    assert not found["ok"]
    assert "127.0.0.1:9" in job.output
    assert not [word for word in WORDS.values() if word in job.text()]
