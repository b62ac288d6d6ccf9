# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that cannot be used is found out before anything changes, and the message says what to do."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry
from tests.verify.s3.store import Store

# What is wrong, by the name of a registry that has nothing else wrong, and words of what is said.
FAULTS: dict[str, tuple[dict[str, t.Any], list[str]]] = {
    "unknown-key": (
        {"registry_storage_s3_access_key": "nobody"},
        ["came back:", "InvalidAccessKeyId", "Correct the credentials"],
    ),
    "looker": (
        {"registry_storage_s3_access_key": "looker", "registry_storage_s3_secret_key": "looker-of-the-lab"},
        ["AccessDenied", "A registry gets, puts, deletes and lists"],
    ),
    "other-bucket": ({"registry_storage_s3_bucket": "registry-of-nobody"}, ["bucket registry-of-nobody"]),
    "strange-tls": ({"registry_storage_ca": ""}, ["failed to verify certificate", "registry_storage_ca"]),
    "no-port": (
        {"registry_storage_s3_endpoint": "https://s3.s3.svc:8444", "registry_storage_egress": [{}]},
        ["cannot be reached from the pod"],
    ),
}


@pytest.fixture(scope="module")
def messages(cluster: Cluster, playbooks: Playbooks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what each faulty registry's run says; all of them run at once, and as far as the store only."""
    folder = tmp_path_factory.mktemp("faults")
    hosts = {name: {"registry_name": name, **given} for name, (given, _words) in FAULTS.items()}
    common = {"registry_kubeconfig": cluster.kubeconfig}
    (folder / "hosts.yml").write_text(
        yaml.safe_dump({"registries": {"hosts": {name: {**common, **given} for name, given in hosts.items()}}}),
        encoding="utf-8",
    )
    run = Playbooks(*playbooks.inventories, str(folder / "hosts.yml"))
    names = ",".join(FAULTS)
    done = run.attempt("site", "--tags", "storage", "--limit", names, "--forks", "8")
    assert done.returncode != 0
    found: dict[str, str] = {}
    for play in json.loads(done.stdout)["plays"]:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                if result.get("failed"):
                    found[host] = result["msg"]
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_cannot_be_used_is_told(messages: dict[str, str], fault: str) -> None:
    """What was tried, where, what came back, what to do."""
    for words in ["tried: to", "bucket registry-", "from: pod ", *FAULTS[fault][1]]:
        assert words in messages[fault], messages[fault]


def test_wrong_credentials_leave_the_registry_as_it_is(
    registry: Registry, playbooks: Playbooks, client: Client, writer: Account, reader: Account
) -> None:
    """The run fails at the proof; server, Secret and pods are those of before, and a restarted pod still works."""
    layout = oci.image("s3 before the fault")
    pushed = client.push(client.put(layout), "proof/image:1", writer)
    assert pushed.rc == 0, pushed.stderr

    def kept() -> dict[str, str]:
        return {name: version for name, version in registry.versions().items() if "-proof" not in name}

    before = kept()
    done = playbooks.attempt("site", registry_storage_s3_secret_key="not-it")
    assert done.returncode != 0
    assert "SignatureDoesNotMatch" in done.stdout
    assert "not-it" not in done.stdout
    assert kept() == before
    registry.kubectl("delete", "pod", registry.pod("front"), "--wait=false")
    registry.wait_ready(registry.name)
    pulled = client.pull("proof/image:1", f"oci:{WORK}/proof:1", reader)
    assert pulled.rc == 0, pulled.stderr
    # With the right ones the store is proven anew.
    assert playbooks.run("site").changed


def test_a_proof_leaves_no_data_in_the_bucket(store: Store) -> None:
    """Upload and parts are gone; what is left is what Distribution writes after it has cancelled any upload."""
    left = [key for key in store.keys("") if "homeport/probe" in key]
    assert [key for key in left if not key.endswith("/hashstates/sha256/0")] == []
    assert [key for key in store.unfinished() if "homeport/probe" in key] == []
