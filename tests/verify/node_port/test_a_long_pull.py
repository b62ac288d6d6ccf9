# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client pulls through everything that is done to a registry in its life, and notices nothing."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.verify import oci
from tests.verify.clients import PullLoop
from tests.verify.cluster import eventually
from tests.verify.node_port.test_certificates import await_installed, installed
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry, TlsClient

ANOTHER_PASSWORD = "a password that is longer than others"


def _authority() -> tuple[str, str]:
    """Return certificate and key of a new authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The next authority")])
    now = datetime.datetime.now(datetime.timezone.utc)
    usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False)
    usage |= dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _replace_authority(registry: PublicRegistry, certificate: str, key: str) -> None:
    values = {"tls.crt": certificate, "tls.key": key}
    data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
    registry.kubectl("patch", "secret", f"{registry.name}-ca", "--type=merge", "--patch", json.dumps({"data": data}))


@pytest.fixture
def authorities(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks
) -> Iterator[tuple[dict[str, str], tuple[str, str]]]:
    """Let the client trust the authority of now and another one; afterwards all is as it was."""
    now = registry.secret(f"{registry.name}-ca")
    following = _authority()
    # What tests before this one have left may still be on its way to the gates.
    await_installed(client, registry)
    client.trust(f"{now['tls.crt']}\n{following[0]}")
    yield now, following
    _replace_authority(registry, now["tls.crt"], now["tls.key"])
    playbooks.run("site")
    await_installed(client, registry)
    client.trust(now["tls.crt"])


def test_no_pull_fails_through_the_life_of_a_registry(
    client: TlsClient,
    registry: PublicRegistry,
    playbooks: Playbooks,
    writer: Account,
    reader: Account,
    authorities: tuple[dict[str, str], tuple[str, str]],
) -> None:
    """New certificates, a new authority, new passwords of others and new pods: a pull goes on through all of it."""
    now, following = authorities
    layout = oci.image("uninterrupted")
    pushed = client.push(client.put(layout), "team/uninterrupted:1", writer)
    assert pushed.rc == 0, pushed.stderr
    base = f"https://{registry.host}/v2/team/uninterrupted"
    layer = max(layout.sizes, key=lambda digest: layout.sizes[digest])
    loop = PullLoop(client, reader, f"{base}/manifests/1", f"{base}/blobs/{layer}")
    with loop:
        # 1. A certificate for one more name, by the authority of now.
        before = installed(registry)
        playbooks.run("site", registry_ingress_extra_names=["renewed.molecule.test"])
        assert installed(registry) != before
        await_installed(client, registry)
        # 2. Another authority, which clients trust already, and a certificate by it.
        before = installed(registry)
        _replace_authority(registry, *following)
        playbooks.run("site")
        assert installed(registry) != before
        await_installed(client, registry)
        # 3. Another password for another account.
        given = Account("operator", ANOTHER_PASSWORD)
        accounts = [{"name": name, "role": role} for name, role in (("pusher", "writer"), ("puller", "reader"))]
        users = [*accounts, {"name": "operator", "role": "writer", "password": ANOTHER_PASSWORD}]
        playbooks.run("site", registry_auth_users=users)
        registry.hurry_certificate()
        eventually(lambda: client.http("/v2/", account=given).status == 200, "the new password works", seconds=150)
        # 4. Another configuration, and so every pod is replaced.
        pods = registry.pods("front")
        playbooks.run("site", registry_auth_users=users, registry_server_log_level="warn")
        assert not set(pods) & set(registry.pods("front"))
    assert loop.failures == []
    assert loop.count > 50
    # The authority of before vouches for nothing any more.
    client.trust(now["tls.crt"])
    assert client.http("/v2/").status == 0
