# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of a registry behind a controller share."""

from __future__ import annotations

import dataclasses
import os
import subprocess

import pytest

from tests.verify.cluster import Cluster
from tests.verify.fixtures import ROOT, _namespace
from tests.verify.memory import MIB
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry, TlsClient

# A name that the lab's own DNS leads to Traefik.
HOST = "registry.traefik.svc.cluster.local"
FRONT = f"{HOST}:443"

SLOW_SECONDS = int(os.environ.get("HOMEPORT_SLOW_SECONDS", "70"))
SLOW_BYTES = int(os.environ.get("HOMEPORT_SLOW_MIB", "3072")) * MIB
# Sends a layer of $3 bytes to the repository $2 at so many bytes in a second ($4) and prints what became of it. Only
# its beginning is random, and it takes no space, since a machine with two cores has better to do.
SLOW_PUSH = """
set -eu
sum() { openssl dgst -sha256 -r "$@" | cut -d " " -f 1; }
head -c 4096 /dev/urandom > /work/slow-layer
truncate -s "$3" /work/slow-layer
digest=sha256:$(sum /work/slow-layer)
place=$(curl -sS -f -u "$1" -X POST -D - -o /dev/null "$2/blobs/uploads/" | tr -d "\\r" | sed -n "s/^location: //Ip")
case $place in /*) place=${2%%/v2/*}$place ;; esac
begun=$(date +%s)
code=$(curl -sS -u "$1" -T /work/slow-layer -H "Content-Type: application/octet-stream" -H Expect: --limit-rate "$4" \\
  -o /dev/null -w "%{http_code}" "$place&digest=$digest")
echo "$code $(($(date +%s) - begun)) $(curl -sS -u "$1" "$2/blobs/$digest" | sum) $digest"
rm /work/slow-layer
"""


def playbooks_of(situation: str) -> Playbooks:
    """Return a runner of the collection's playbooks with the inventory of a situation."""
    folder = ROOT / "molecule"
    return Playbooks(str(folder / "resources" / "inventory"), str(folder / situation / "inventory"))


@pytest.fixture(scope="session")
def registry(cluster: Cluster) -> PublicRegistry:
    """Return the registry by its public name."""
    return PublicRegistry(cluster, "depot", _namespace(), HOST)


@pytest.fixture(scope="session")
def authority(registry: PublicRegistry) -> str:
    """Return the authority of the certificate, which cert-manager keeps apart from what others provide."""
    issued = f"{registry.name}-tls-issued"
    known = issued in registry.find("items[].metadata.name", "secrets")
    return registry.secret(issued if known else f"{registry.name}-tls")["ca.crt"]


@pytest.fixture(scope="session")
def client(cluster: Cluster, clients: str, registry: PublicRegistry, authority: str) -> TlsClient:
    """Return a client that trusts the authority of the certificate."""
    pod = TlsClient(cluster, clients, "client", registry)
    pod.trust(authority)
    pod.wait_open()
    return pod


@dataclasses.dataclass(frozen=True)
class SlowPush:
    """A push of one layer that takes longer than the limits that controllers have by default."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, client: TlsClient, account: Account) -> SlowPush:
        """Start it; it goes on while other tests run."""
        rate = max(1, SLOW_BYTES // SLOW_SECONDS)
        address = f"https://{client.registry.host}/v2/team/slow"
        return cls(client.start(SLOW_PUSH, str(account), address, str(SLOW_BYTES), str(rate)))

    def check(self) -> None:
        """Wait for its end, and see that the layer is there, whole, and that it really took that long."""
        output, _unused = self.process.communicate(timeout=SLOW_SECONDS * 3 + 60)
        words = output.split()
        assert len(words) == 4, output
        code, seconds, found, digest = words
        assert code == "201", output
        assert int(seconds) >= SLOW_SECONDS - 5, output
        assert f"sha256:{found}" == digest, output


@pytest.fixture(scope="session", autouse=True)
def slow_push(
    cluster: Cluster, clients: str, client: TlsClient, registry: PublicRegistry, authority: str, writer: Account
) -> SlowPush:
    """Start a push that is slow from a client of its own, so that it goes on while the other tests run."""
    pod = TlsClient(cluster, clients, "scraper", registry)
    pod.trust(authority)
    return SlowPush.start(pod, writer)
