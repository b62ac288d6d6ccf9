# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates of every kind, good and bad, made on the spot."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import ipaddress
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)


@dataclasses.dataclass(frozen=True)
class Made:
    """A certificate with its key, both usable as they are."""

    certificate: x509.Certificate
    key: t.Any

    @property
    def crt(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def pem_key(self) -> str:
        return self._encoded(serialization.NoEncryption())

    @property
    def locked_key(self) -> str:
        return self._encoded(serialization.BestAvailableEncryption(b"open sesame"))

    def secret(self, name: str, **annotations: str) -> dict[str, t.Any]:
        """Return the two as a Secret, as the API server returns it."""
        data = {"tls.crt": self.crt, "tls.key": self.pem_key}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return {"metadata": {"name": name, "annotations": annotations}, "data": encoded}

    def _encoded(self, encryption: serialization.KeySerializationEncryption) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


def make(
    name: str,
    issuer: Made | None = None,
    *,
    hosts: tuple[str, ...] = (),
    ca: bool = False,
    days: tuple[int, int] = (-1, 100),
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> Made:
    """Return a certificate by an issuer, or by itself, valid from and until so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + dt.timedelta(days=days[0]))
        # Half a day more, so that a whole number of days is left while the tests run.
        .not_valid_after(NOW + dt.timedelta(days=days[1], hours=12))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(host) for host in hosts]), critical=False)
    if usages and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return Made(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@pytest.fixture(scope="session")
def root() -> Made:
    """Return a root authority."""
    return make("Root", ca=True, days=(-10, 1000))


@pytest.fixture(scope="session")
def middle(root: Made) -> Made:
    """Return an authority under the root."""
    return make("Middle", root, ca=True, days=(-5, 500))


@pytest.fixture(scope="session")
def leaf(middle: Made) -> Made:
    """Return a certificate for registry.example.com by the authority under the root."""
    return make("registry.example.com", middle, hosts=("registry.example.com", "*.example.net", "192.0.2.7"))
