# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The job templates on a real cluster, started as a controller does: with an inventory, answers and credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from tests.lab.controller.depot import Depot, kept_no_secret, ours
from tests.lab.inventory.images import Pusher


@pytest.fixture
def depot(kubeconfig: Path, tmp_path: Path) -> Iterator[Depot]:
    found = Depot(kubeconfig, tmp_path)
    yield found
    found.forget()


def test_the_life_of_a_registry(depot: Depot) -> None:
    launch = depot.controller.launch
    answers = {
        "registry_storage_size": "1Gi",
        "registry_server_replicas": 1,
        "registry_ingress_exposure": "node_port",
        "registry_ingress_tls": "self_signed",
        "registry_wait_timeout": 240,
    }
    site = launch("homeport_site", survey=answers)
    made = ours(site, "homeport_site")
    assert made["url"] == f"https://{depot.host}"
    assert made["changed"]
    assert {"namespace", "storage", "auth", "ingress", "server", "gc"} == set(made["changed_by"])
    again = launch("homeport_site", survey=answers)
    assert not again.changed
    assert ours(again, "homeport_site") == {**made, "changed": False, "changed_by": []}

    session = depot.session(made["ca"])
    pusher = Pusher(session)
    pusher.image("team/app", "kept", b"kept" * 1000)
    gone = pusher.image("team/app", "gone", b"gone" * 1000)
    client.delete_manifest(session, "team/app", gone.digest)
    # Of the inventory only what differs from the defaults is known to the jobs that follow.
    depot.controller.hosts["registry.example.com"] |= {
        name: answers[name] for name in ("registry_ingress_exposure", "registry_ingress_tls")
    }

    # As the workflow does it: each job gets what the one before has left.
    plan = launch("homeport_gc", site.artifacts, {"registry_gc_dry_run": "true"})
    planned = ours(plan, "homeport_gc")
    assert planned["outcome"] == "dry_run"
    assert planned["eligible"]["blobs"] == 2
    assert not plan.changed
    collect = launch("homeport_gc", plan.artifacts)
    collected = ours(collect, "homeport_gc")
    assert collected["outcome"] == "succeeded"
    assert collected["changed"]
    assert collected["deleted"]["blobs"] == 2
    assert collected["verified"]
    verify = launch("homeport_verify", collect.artifacts, {"registry_verify_round_trip": "true"})
    proven = ours(verify, "homeport_verify")
    assert proven["ok"]
    assert proven["healthy"]
    assert proven["verified"]
    assert proven["checked"]["tags"] == 1
    assert proven["certificate_days_left"] > 300
    assert not verify.changed

    # Nodes join, and what the cluster says of the authority is what they trust.
    depot.controller.groups["nodes"] = depot.machines()
    nodes = launch("homeport_nodes", verify.artifacts)
    assert nodes.status == "successful", nodes.output
    trust = nodes.artifacts["homeport_nodes"]
    assert set(trust) == set(depot.controller.groups["nodes"]["hosts"])
    for found in trust.values():
        assert (found["ok"], found["changed"], found["restarted"]) == (True, True, False)
        assert found["registries"] == {depot.host: "answered"}
    kept_no_secret(depot, site, again, plan, collect, verify, nodes)

    everything = {"registry_storage_delete_data": "true", "registry_namespace_delete": "true"}
    remove = launch("homeport_remove", survey={**everything, "registry_ingress_delete_ca": "true"})
    removed = ours(remove, "homeport_remove")
    assert removed["changed"]
    assert not removed["data_kept"]
    assert all(found["ok"] and found["changed"] for found in remove.artifacts["homeport_nodes"].values())
    assert not [word[:4] for word in depot.hidden if word in remove.text()]
