# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry by its public name over TLS, and clients that trust one authority and nothing else."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import shlex
import subprocess
import typing as t
import uuid

from cryptography import x509
from testinfra.backend.base import CommandResult

from tests.verify.clients import WORK, Answer, Client, _credentials
from tests.verify.cluster import eventually
from tests.verify.registry import Account, Registry

CERTS = f"{WORK}/certs"
AUTHORITY = f"{CERTS}/ca.crt"


def serial(certificate: str) -> str:
    """Return the serial number of the first certificate in a PEM text, as openssl prints it."""
    number = f"{x509.load_pem_x509_certificate(certificate.encode()).serial_number:x}"
    return number if len(number) % 2 == 0 else f"0{number}"


@dataclasses.dataclass(frozen=True)
class PublicRegistry(Registry):
    """A registry that clients know by its public host and port."""

    public: str = ""

    @property
    def host(self) -> str:
        """Return the public host and port."""
        return self.public

    def secret(self, name: str) -> dict[str, str]:
        """Return the decoded values of a Secret."""
        data = self.find("data", "secret", name)
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def identities(self) -> list[list[str]]:
        """Return name, uid and restarts of every pod: what changes when one is replaced or starts again.

        Pods that are being deleted have been replaced before.
        """
        kept = "items[?!(metadata.deletionTimestamp)]"
        found = self.find(
            f"{kept}.[metadata.name, metadata.uid, to_string(status.containerStatuses[].restartCount)]", "pods"
        )
        return sorted(found)

    def renew(self) -> None:
        """Have cert-manager renew the certificate now, as it does before its end."""
        due = {
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "A test wants another certificate",
            "lastTransitionTime": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        patch = json.dumps({"status": {"conditions": [due]}})
        self.kubectl("patch", "certificate", self.name, "--subresource=status", "--type=merge", f"--patch={patch}")

    def hurry_certificate(self) -> None:
        """Have the kubelet bring Secrets into the front pods now: it looks at a pod at once when that changes."""
        mark = f"registry.homeport.dev/test={uuid.uuid4()}"
        self.kubectl("annotate", "pods", "-l", self.selector("front"), "--overwrite", mark)


class TlsClient(Client):
    """A client that speaks TLS and trusts the authority in /work/certs/ca.crt."""

    def trust(self, authority: str) -> None:
        """Trust this authority from now on."""
        self.script('mkdir -p "$1" && printf %s "$3" > "$2"', CERTS, AUTHORITY, authority)

    def start(self, script: str, *args: str) -> subprocess.Popen[str]:
        """Start a shell script; curl trusts the authority in it."""
        return super().start(f"export CURL_CA_BUNDLE={AUTHORITY}\n{script}", *args)

    def http(self, path: str, *options: str, account: Account | None = None, url: str | None = None) -> Answer:
        """Send one request, by TLS unless another base URL says otherwise."""
        base = url or f"https://{self.registry.host}"
        return super().http(path, "--cacert", AUTHORITY, *options, account=account, url=base)

    def push(self, source: str, repository: str, account: Account | None) -> CommandResult:
        """Push an image or index with every digest as it is."""
        options = ("copy", "--all", "--preserve-digests", f"--dest-cert-dir={CERTS}")
        return self.skopeo(*options, *_credentials("dest", account), source, self.reference(repository))

    def pull(self, repository: str, target: str, account: Account | None) -> CommandResult:
        """Pull an image or index; skopeo checks every digest on the way."""
        options = ("copy", "--all", "--preserve-digests", f"--src-cert-dir={CERTS}")
        return self.skopeo(*options, *_credentials("src", account), self.reference(repository), target)

    def wait_open(self, *, seconds: float = 60) -> None:
        """Wait until reader and writer ask for a password; what is in front may need a while to find the way."""

        def open_now() -> bool:
            upload = self.http("/v2/any/blobs/uploads/", "-X", "POST", "--max-time", "8")
            return {self.http("/v2/", "--max-time", "8").status, upload.status} == {401}

        eventually(open_now, "both parts of the registry ask for a password", seconds=seconds)

    def served(self, address: str) -> str:
        """Return the serial number of the certificate that is served at host:port, empty when none is."""
        name = shlex.quote(self.registry.host.partition(":")[0])
        show = f"openssl s_client -connect {shlex.quote(address)} -servername {name} </dev/null 2>/dev/null"
        shown = self.run(f"{show} | openssl x509 -noout -serial")
        return str(shown.stdout).strip().removeprefix("serial=").lower()

    def wait_served(self, serial: str, addresses: t.Sequence[str], *, seconds: float = 150) -> None:
        """Wait until every address serves the certificate with this serial number."""
        assert addresses, "nobody is to be asked"

        def seen() -> bool:
            return all(self.served(address) == serial.lower() for address in addresses)

        eventually(seen, f"all of {', '.join(addresses)} serve certificate {serial}", seconds=seconds, every=1)
