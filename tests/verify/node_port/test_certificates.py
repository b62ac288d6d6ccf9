# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates come and go, while clients keep pulling and no pod restarts."""

from __future__ import annotations

import subprocess
import time
import typing as t
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.verify.clients import WORK, PullLoop
from tests.verify.cluster import eventually
from tests.verify.node_port.conftest import NAME
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry, TlsClient, serial

GATE_TLS = 8443
HELD = 64 << 20
# A client that reads one byte of an answer, and the rest only when a file appears.
HOLD = """
curl -sS -f -u "$1" "$2" | { head -c 1 >/dev/null; while [ ! -e "$3" ]; do sleep 1; done; wc -c; }
"""
APPLIED = "homeport.registry.registry_ingress : Apply certificates and exposure"


def installed(registry: PublicRegistry) -> str:
    """Return the serial number of the certificate in the Secret."""
    return serial(registry.secret(f"{registry.name}-tls")["tls.crt"])


def gates(registry: PublicRegistry) -> list[str]:
    """Return the addresses of all gates: a Service would show one of them."""
    found = registry.find(
        "items[?!(metadata.deletionTimestamp)].status.podIP", "pods", "-l", registry.selector("front")
    )
    return [f"{address}:{GATE_TLS}" for address in found]


def await_installed(client: TlsClient, registry: PublicRegistry) -> None:
    """Wait until every gate serves what is in the Secret."""
    registry.hurry_certificate()
    client.wait_served(installed(registry), gates(registry))
    # While nginx reloads, a worker of before may take one more connection.
    time.sleep(2)
    client.wait_served(installed(registry), gates(registry))


@pytest.fixture(scope="module")
def blob(client: TlsClient, writer: Account) -> str:
    """Return the path of a layer that is bigger than all buffers between the gate and a client that stops reading."""
    source, _digest = client.random("held", HELD)
    pushed = client.push(source, "team/rotation:1", writer)
    assert pushed.rc == 0, pushed.stderr
    layer = client.script('find "$1" -type f -size +1M -exec basename {} ";"', f"{WORK}/held/blobs")
    return f"/v2/team/rotation/blobs/sha256:{layer}"


def test_a_renewal_reaches_clients_and_drops_no_pull(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks, reader: Account, blob: str
) -> None:
    """One more name needs another certificate: it is issued under the same authority and served by the same pods."""
    before, authority, pods = installed(registry), registry.secret(f"{registry.name}-ca"), registry.identities()
    base = f"https://{registry.host}"
    urls = [f"{base}/v2/team/rotation/manifests/1", f"{base}/v2/team/rotation/tags/list"]
    go_on = f"{WORK}/{uuid.uuid4()}"
    held = client.start(HOLD, str(reader), base + blob, go_on)
    loop = PullLoop(client, reader, *urls)
    with loop:
        run = playbooks.run("site", registry_ingress_extra_names=["another.molecule.test"])
        await_installed(client, registry)
    assert run.changed == [APPLIED]
    assert installed(registry) != before
    assert loop.failures == []
    assert loop.count > 20
    client.script('touch "$1"', go_on)
    output, _unused = held.communicate(timeout=120)
    assert int(output) == HELD - 1, output
    assert registry.secret(f"{registry.name}-ca") == authority
    assert registry.identities() == pods


def test_a_certificate_that_nginx_refuses_changes_nothing(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks
) -> None:
    """The gates go on with the one they have and say so; with the Secret deleted, the next run makes another."""
    before = installed(registry)
    foreign = registry.find('data."tls.key"', "secret", f"{registry.name}-ca")
    patch = f'{{"data": {{"tls.key": "{foreign}"}}}}'
    registry.kubectl("patch", "secret", f"{registry.name}-tls", "--patch", patch)
    registry.hurry_certificate()

    def refused() -> bool:
        logs = [registry.kubectl("logs", pod, "-c", "gate") for pod in registry.pods("front")]
        return all("kept the previous certificate" in log for log in logs)

    eventually(refused, "every gate has refused the certificate", seconds=150, every=1)
    assert [client.served(address) for address in gates(registry)] == [before] * len(gates(registry))
    registry.kubectl("delete", "secret", f"{registry.name}-tls")
    run = playbooks.run("site")
    assert run.changed == [APPLIED]
    await_installed(client, registry)


def test_results_and_diffs_hold_no_key(registry: PublicRegistry, playbooks: Playbooks) -> None:
    """Not even the most talkative run shows a key, while it makes one."""
    done = playbooks.attempt(
        "site", "-vvvv", "--diff", callback="ansible.builtin.default", registry_ingress_extra_names=["third.test"]
    )
    assert done.returncode == 0, done.stdout
    output = done.stdout + done.stderr
    assert "registry-tls" in output.replace(registry.name, "registry")
    for name in ("tls", "ca"):
        key = registry.secret(f"{registry.name}-{name}")["tls.key"]
        assert not [line for line in key.splitlines()[1:-1] if line in output]


def test_a_lost_authority_is_not_replaced(registry: PublicRegistry, playbooks: Playbooks) -> None:
    """The run stops before it changes anything and says what to do; with the Secret restored it goes on."""
    name = f"{registry.name}-ca"
    kept = registry.kubectl("get", "secret", name, "-o", "json")
    registry.kubectl("delete", "secret", name)
    try:
        versions = registry.versions()
        done = playbooks.attempt("site", callback="ansible.builtin.default")
        assert done.returncode != 0
        assert "Restore the Secret." in done.stdout + done.stderr
        assert registry.versions() == versions
    finally:
        registry.kubectl("create", "-f", "-", stdin=kept)
    assert playbooks.run("site").report["stats"]["registry.molecule.test"]["failures"] == 0


@pytest.fixture(scope="module")
def provided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a certificate for the public name, and its key, by nobody in particular."""
    folder = tmp_path_factory.mktemp("provided")
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", f"/CN={NAME}"]
    files = ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "key.pem", "-out", "crt.pem"]
    subprocess.run([*line, *files], cwd=folder, check=True, capture_output=True)
    texts = {"certificate": "crt.pem", "private_key": "key.pem"}
    return {f"registry_ingress_{key}": (Path(folder) / name).read_text() for key, name in texts.items()}


@pytest.fixture
def switched(playbooks: Playbooks, client: TlsClient, registry: PublicRegistry) -> Iterator[None]:
    """Go back to the registry's own authority afterwards."""
    authority = registry.secret(f"{registry.name}-ca")
    yield
    playbooks.run("site")
    assert registry.secret(f"{registry.name}-ca") == authority
    client.trust(authority["tls.crt"])
    await_installed(client, registry)


@pytest.mark.usefixtures("switched")
def test_a_given_certificate_takes_over_without_a_restart(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks, provided: dict[str, t.Any]
) -> None:
    """The same pods serve it, and the authority stays for the day when it is needed again."""
    pods = registry.identities()
    run = playbooks.run("site", registry_ingress_tls="provided", **provided)
    assert run.changed == [APPLIED]
    assert installed(registry) == serial(provided["registry_ingress_certificate"])
    client.trust(provided["registry_ingress_certificate"])
    await_installed(client, registry)
    # For a moment old workers of nginx take connections too.
    client.wait_open()
    assert registry.identities() == pods
    assert registry.find("metadata.name", "secret", f"{registry.name}-ca")


def test_a_given_certificate_for_another_host_is_refused(
    registry: PublicRegistry, playbooks: Playbooks, provided: dict[str, t.Any]
) -> None:
    """Nothing is changed, and the message says for which names it is."""
    versions = registry.versions()
    done = playbooks.attempt(
        "site",
        callback="ansible.builtin.default",
        registry_ingress_tls="provided",
        registry_host="other.molecule.test:30543",
        **provided,
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"its subject alternative names are {NAME}" in output
    assert not [line for line in provided["registry_ingress_private_key"].splitlines()[1:-1] if line in output]
    assert registry.versions() == versions
