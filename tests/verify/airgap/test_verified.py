# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook that proves an installation sees what somebody has changed by hand."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import typing as t

from testinfra.host import Host

from tests.verify.airgap.conftest import FIRST, FOLDER, NODES, SECOND, WITHOUT_SECOND, Sealed
from tests.verify.airgap.test_update import bundle, digests, state_of
from tests.verify.cluster import Cluster
from tests.verify.registry import Account

APP, NEWCOMER = "docker.io/library/app", "docker.io/library/newcomer"
INDEX = "application/vnd.oci.image.index.v1+json"


def ask(airgap: Sealed, account: Account, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Do what anybody can who may push; return status and body of the answer."""
    host, _colon, port = airgap.address.partition(":")
    word = base64.b64encode(str(account).encode()).decode()
    wanted = {"Authorization": f"Basic {word}", "Accept": f"{INDEX}, */*", "Content-Type": INDEX}
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
    connection.request(method, f"/v2/{path}", body, wanted)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def move_tag(airgap: Sealed, account: Account, digest: str) -> None:
    """Let the tag of the app mean something else."""
    status, body = ask(airgap, account, "GET", f"{APP}/manifests/{digest}")
    assert status == 200, body
    status, said = ask(airgap, account, "PUT", f"{APP}/manifests/1", body)
    assert status == 201, said


def test_what_was_changed_by_hand_is_named(airgap: Sealed, nodes: list[Host], writer: Account) -> None:
    old, new = (digests(folder)[f"{APP}:1"] for folder in ("bundles", "update"))
    move_tag(airgap, writer, old)
    gone = digests("update")[f"{NEWCOMER}:1"]
    status, said_of_it = ask(airgap, writer, "DELETE", f"{NEWCOMER}/manifests/{gone}")
    assert status == 202, said_of_it
    nodes[0].check_output("ctr -n k8s.io images label docker.io/library/nginx:1 io.cri-containerd.pinned=")
    done = airgap.attempt("airgap_verify", WITHOUT_SECOND, callback="ansible.builtin.default", **bundle("update"))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, said
    assert "are not as the bundle molecule 2" in said
    assert f"{APP}:1 is not served everywhere as {new}" in said
    assert f"{NEWCOMER}:1 is not served everywhere as {gone}" in said
    assert f"{NODES[0]} does not hold what it should, and would have to: pin docker.io/library/nginx:1" in said


def test_an_update_to_the_installed_bundle_puts_it_right(airgap: Sealed, nodes: list[Host], writer: Account) -> None:
    """Tag, manifest and pin of the test above."""
    done = airgap.attempt("airgap_update", WITHOUT_SECOND, **bundle("update"))
    assert done.returncode == 0, done.stdout + done.stderr
    status, manifest = ask(airgap, writer, "GET", f"{NEWCOMER}/manifests/1")
    assert (status, f"sha256:{hashlib.sha256(manifest).hexdigest()}") == (200, digests("update")[f"{NEWCOMER}:1"])
    assert "pinned" in nodes[0].check_output("ctr -n k8s.io images ls name==docker.io/library/nginx:1")


def test_what_is_as_the_bundle_says_is_proven(airgap: Sealed, cluster: Cluster, nodes: list[Host]) -> None:
    before = state_of(cluster, nodes)
    done = airgap.attempt("airgap_verify", **bundle("update"))
    assert done.returncode == 0, done.stdout
    stats: dict[str, dict[str, t.Any]] = json.loads(done.stdout)["global_custom_stats"]["homeport_airgap_verify"]
    assert {host: one["ok"] for host, one in stats.items()} == {FIRST: True, SECOND: True}
    told = stats[FIRST]
    assert (told["ok"], told["problems"], told["bundle"]["version"]) == (True, [], "2")
    assert (told["nodes"], told["pulled"]) == (sorted(NODES), sorted(NODES))
    assert told["images"] == len(digests("update"))
    assert state_of(cluster, nodes) == before
    for host in (FIRST, SECOND):
        assert json.loads((FOLDER / f"{host}.verify.json").read_text())["ok"] is True
