# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that proves an installation sees what somebody has changed by hand."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import typing as t

from testinfra.host import Host

from tests.verify.airgap.conftest import FOLDER, NODES, Sealed
from tests.verify.airgap.test_update import bundle, digests, state_of
from tests.verify.cluster import Cluster
from tests.verify.registry import Account

APP, INDEX = "docker.io/library/app", "application/vnd.oci.image.index.v1+json"


def verify(airgap: Sealed, callback: str = "ansible.posix.json") -> subprocess.CompletedProcess[str]:
    """Run the playbook."""
    return airgap.attempt("airgap_verify", callback=callback, **bundle("update"))


def move_tag(airgap: Sealed, account: Account, digest: str) -> None:
    """Do what anybody can who may push."""
    host, _colon, port = airgap.address.partition(":")
    word = base64.b64encode(str(account).encode()).decode()
    wanted = {"Authorization": f"Basic {word}", "Accept": INDEX, "Content-Type": INDEX}
    context = ssl._create_unverified_context()
    body = b""
    for method, reference in (("GET", digest), ("PUT", "1")):
        connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
        connection.request(method, f"/v2/{APP}/manifests/{reference}", body if method == "PUT" else None, wanted)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 201), body
        connection.close()


def test_what_was_changed_by_hand_is_named(airgap: Sealed, nodes: list[Host], writer: Account) -> None:
    old, new = (digests(folder)[f"{APP}:1"] for folder in ("bundles", "update"))
    move_tag(airgap, writer, old)
    nodes[0].check_output("ctr -n k8s.io images label docker.io/library/nginx:1 io.cri-containerd.pinned=")
    done = verify(airgap, "ansible.builtin.default")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, said
    assert "are not as the bundle molecule 2" in said
    assert f"{APP}:1 is not served everywhere as {new}" in said
    assert f"{NODES[0]} does not hold what it should, and would have to: pin docker.io/library/nginx:1" in said


def test_an_update_to_the_installed_bundle_puts_it_right(airgap: Sealed, nodes: list[Host]) -> None:
    """Tag and pin of the test above."""
    done = airgap.attempt("airgap_update", **bundle("update"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pinned" in nodes[0].check_output("ctr -n k8s.io images ls name==docker.io/library/nginx:1")


def test_what_is_as_the_bundle_says_is_proven(airgap: Sealed, cluster: Cluster, nodes: list[Host]) -> None:
    before = state_of(cluster, nodes)
    done = verify(airgap)
    assert done.returncode == 0, done.stdout
    told: dict[str, t.Any]
    (told,) = json.loads(done.stdout)["global_custom_stats"]["homeport_airgap_verify"].values()
    assert (told["ok"], told["problems"], told["bundle"]["version"]) == (True, [], "2")
    assert (told["nodes"], told["pulled"]) == (sorted(NODES), sorted(NODES))
    assert told["images"] == len(digests("update"))
    assert state_of(cluster, nodes) == before
    assert json.loads((FOLDER / "registry.molecule.test.verify.json").read_text())["ok"] is True
