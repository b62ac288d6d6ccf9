# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that needs the store for itself stops the writer: pulls go on, pushes are told why, nobody starts it again."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator

import jmespath
import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

UPLOADS = "/v2/fence/image/blobs/uploads/"


@pytest.fixture
def permit(registry: Registry, playbooks: Playbooks, client: Client) -> Iterator[str]:
    """Return the name of the write permit; afterwards it exists, no Lease does, and the writer runs."""
    name = f"{registry.name}-write-permit"
    yield name
    registry.kubectl("delete", "lease", f"{registry.name}-exclusive", "--ignore-not-found")
    playbooks.run("site")
    registry.scale_writer(1)
    client.wait_open()


def _hold(registry: Registry, *, renewed_ago: int, seconds: int) -> None:
    """Take the Lease of exclusive work for so many seconds, as if it had been renewed some seconds ago."""
    renewed = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=renewed_ago)
    stamp = renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": f"{registry.name}-exclusive", "namespace": registry.namespace},
        "spec": {"holderIdentity": "test", "leaseDurationSeconds": seconds, "acquireTime": stamp, "renewTime": stamp},
    }
    registry.cluster.apply(lease)


def test_pushes_wait_and_pulls_go_on(
    registry: Registry, client: Client, writer: Account, reader: Account, permit: str
) -> None:
    """Without a writer a push gets 503, when to come back and why, and a pull works; with it a push works soon."""
    layout = oci.image("fence")
    source = client.put(layout)
    first = client.push(source, "fence/image:1", writer)
    assert first.rc == 0, first.stderr
    registry.scale_writer(0)
    refused = client.http(UPLOADS, "-X", "POST", account=writer)
    assert refused.status == 503
    assert refused.headers["retry-after"].isdigit()
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers["docker-distribution-api-version"] == "registry/2.0"
    errors = jmespath.search("errors[].[code, message]", json.loads(refused.body))
    assert [code for code, _message in errors] == ["UNAVAILABLE"]
    assert "Pushes are paused" in errors[0][1]
    # Clients that wait at this status and not at the other one; Docker does the reverse.
    for agent in ("skopeo/1.9.3", "libpod/4.9.3", "Buildah/1.41.5", "containers/5.36.2 (github.com/containers/image)"):
        told = client.http(UPLOADS, "-X", "POST", "-A", agent, account=writer)
        assert (told.status, told.headers["retry-after"]) == (429, refused.headers["retry-after"]), agent
        assert jmespath.search("errors[].[code, message]", json.loads(told.body)) == [["TOOMANYREQUESTS", errors[0][1]]]
    for agent in ("docker/28.2.2 go/go1.24.3", "like skopeo/1.9.3"):
        assert client.http(UPLOADS, "-X", "POST", "-A", agent, account=writer).status == 503, agent
    manifests = "/v2/fence/image/manifests"
    for method, path in (("PUT", f"{manifests}/2"), ("DELETE", f"{manifests}/{layout.digest}")):
        assert client.http(path, "-X", method, account=writer).status == 503, method
    pulled = client.pull("fence/image:1", f"oci:{WORK}/fence:1", reader)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(f"{WORK}/fence") == layout.digests
    registry.scale_writer(1)
    client.wait_open()
    again = client.push(client.put(oci.image("fence after")), "fence/after:1", writer)
    assert again.rc == 0, again.stderr


def test_nobody_starts_a_writer_without_the_permit(
    registry: Registry, playbooks: Playbooks, client: Client, writer: Account, permit: str
) -> None:
    """Whoever scales up while the permit is gone gets a pod that waits; with the permit it starts by itself."""
    registry.scale_writer(0)
    registry.kubectl("delete", "configmap", permit)
    registry.kubectl("scale", f"deployment/{registry.writer}", "--replicas=1")
    pod = eventually(lambda: registry.pods("writer"), "the pod of a bystander")[0]

    def reasons() -> list[str]:
        mine = ("events", "--field-selector", f"involvedObject.name={pod},reason=FailedMount")
        return [message for message in registry.find("items[].message", *mine) if permit in message]

    assert eventually(reasons, "the pod says what it waits for")
    for _second in range(5):
        status = registry.find("status", "pod", pod)
        assert status["phase"] == "Pending"
        assert jmespath.search("containerStatuses[].state.running || `[]`", status) == []
        time.sleep(1)
    assert client.http(UPLOADS, "-X", "POST", account=writer).status == 503
    # A run brings the permit back and waits until the kubelet has looked again.
    assert playbooks.run("site").changed
    client.wait_open()
    assert client.http(UPLOADS, "-X", "POST", account=writer).status == 202


def test_site_leaves_a_fence_alone(registry: Registry, playbooks: Playbooks, permit: str) -> None:
    """While somebody holds the Lease, a run neither brings the permit back nor starts a writer, and changes nothing."""
    _hold(registry, renewed_ago=0, seconds=600)
    registry.kubectl("delete", "configmap", permit)
    registry.scale_writer(0)
    run = playbooks.run("site")
    assert not run.changed
    assert jmespath.search("objects[?changed]", run.result("Apply the server")) == []
    assert registry.find(f"items[?metadata.name=='{permit}']", "configmaps") == []
    assert registry.find("spec.replicas", "deployment", registry.writer) == 0


def test_site_heals_an_abandoned_fence(
    registry: Registry, playbooks: Playbooks, client: Client, writer: Account, permit: str
) -> None:
    """When the Lease has run out, its holder is gone: a run brings permit and writer back, the next changes nothing."""
    _hold(registry, renewed_ago=60, seconds=30)
    registry.kubectl("delete", "configmap", permit)
    registry.scale_writer(0)
    assert playbooks.run("site").changed
    assert registry.find("metadata.name", "configmap", permit) == permit
    assert registry.find("spec.replicas", "deployment", registry.writer) == 1
    client.wait_open()
    assert client.http(UPLOADS, "-X", "POST", account=writer).status == 202
    assert not playbooks.run("site").changed
