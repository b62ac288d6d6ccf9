# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that needs the store for itself stops all writers, and neither a person nor an autoscaler starts one again."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator

import jmespath
import pytest

from tests.verify.clients import Client
from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

UPLOADS = "/v2/fence/image/blobs/uploads/"
NUMBER = "registry.homeport.dev/writers"


@pytest.fixture
def fenced(registry: Registry, client: Client) -> Iterator[None]:
    """Take the Lease, the permit and all writers away; afterwards nobody holds the Lease."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": f"{registry.name}-exclusive", "namespace": registry.namespace},
        "spec": {"holderIdentity": "test", "leaseDurationSeconds": 600, "acquireTime": now, "renewTime": now},
    }
    registry.cluster.apply(lease)
    registry.kubectl("delete", "configmap", f"{registry.name}-write-permit")
    registry.scale_writer(0)
    yield
    registry.kubectl("delete", "hpa", registry.writer, "--ignore-not-found")
    registry.kubectl("delete", "lease", f"{registry.name}-exclusive")


def test_no_writer_starts_inside_a_fence(
    registry: Registry, playbooks: Playbooks, client: Client, writer: Account, fenced: None
) -> None:
    """An autoscaler leaves none alone, a bystander's pods wait, a run of the playbook changes nothing."""
    registry.kubectl("autoscale", "deployment", registry.writer, "--min=2", "--max=3", "--cpu-percent=50")

    def said() -> list[str]:
        return registry.find("status.conditions[?type=='ScalingActive'].reason", "hpa", registry.writer) or []

    assert eventually(said, "the autoscaler has looked") == ["ScalingDisabled"]
    assert registry.find("spec.replicas", "deployment", registry.writer) == 0
    assert playbooks.run("site").changed == []
    registry.kubectl("delete", "hpa", registry.writer)
    registry.kubectl("scale", f"deployment/{registry.writer}", "--replicas=2")
    eventually(lambda: len(registry.pods("writer")) == 2, "the pods of a bystander")
    waiting = "items[?reason=='FailedMount' && contains(message, 'write-permit')].involvedObject.name"
    mine = set(registry.pods("writer"))
    eventually(lambda: mine <= set(registry.find(waiting, "events")), "both pods say what they wait for")
    for _second in range(3):
        states = registry.find("items[].status", "pods", "-l", registry.selector("writer"))
        assert [status["phase"] for status in states] == ["Pending", "Pending"]
        assert not jmespath.search("[].containerStatuses[].state.running", states)
        time.sleep(1)
    assert client.http(UPLOADS, "-X", "POST", account=writer).status == 503


def test_a_run_sets_the_number_of_writers_and_owns_it_not(
    registry: Registry, playbooks: Playbooks, client: Client, writer: Account
) -> None:
    """What a fence left behind is set right once, by the manager that a fence uses; then nothing changes."""
    registry.scale_writer(0)
    assert playbooks.run("site", "--check").changed
    assert registry.find("spec.replicas", "deployment", registry.writer) == 0
    assert playbooks.run("site").changed
    found = registry.find("[spec.replicas, metadata.annotations]", "deployment", registry.writer)
    assert found[0] == 2
    assert found[1][NUMBER] == "2"
    assert f"{NUMBER}-found" not in found[1]
    fields = registry.find("metadata.managedFields", "deployment", registry.writer, "--show-managed-fields")
    owners = {entry["manager"] for entry in fields if "f:replicas" in entry["fieldsV1"].get("f:spec", {})}
    assert owners == {"homeport-exclusive"}
    client.wait_open()
    assert client.http(UPLOADS, "-X", "POST", account=writer).status == 202
    before = registry.versions()
    assert playbooks.run("site").changed == []
    assert registry.versions() == before


def test_a_drain_is_never_blocked(registry: Registry) -> None:
    """Of each part one pod may always go, and another stays."""
    budgets = registry.find("items[].[metadata.name, spec.maxUnavailable, status.disruptionsAllowed]", "pdb")
    assert sorted(budgets) == [[registry.name, 1, 1], [registry.writer, 1, 1]]
