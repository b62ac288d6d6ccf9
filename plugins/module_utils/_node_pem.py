# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""CA certificates as PEM text: normalised, told apart from leaves, with what is left of their time. Private.

Nodes have no library for certificates, so OpenSSL is asked through Python's ssl module.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import ssl
import textwrap
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError

DAY = 86400
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Authority:
    """A CA certificate."""

    subject: str
    sha256: str
    days_left: int
    pem: str

    def as_dict(self) -> dict[str, t.Any]:
        """Return what a report shows."""
        return {"subject": self.subject, "sha256": self.sha256, "days_left": self.days_left}


def read_bundle(texts: t.Iterable[str], where: str) -> list[Authority]:
    """Return the CA certificates of some PEM texts, each once, in their order.

    Raises:
        NodeError: when a text holds no certificate, a private key, a server certificate or an expired one.
    """
    found: dict[str, Authority] = {}
    for number, text in enumerate(texts, 1):
        place = f"{where}, text {number}"
        blocks = _BLOCK.findall(text)
        if any("PRIVATE KEY" in kind for kind, _body in blocks):
            raise _refusal(place, "it holds a private key", "Give the certificate alone; the key stays with the CA.")
        certificates = [body for kind, body in blocks if kind in ("CERTIFICATE", "TRUSTED CERTIFICATE")]
        if not certificates:
            remedy = "Give PEM text, with the line -----BEGIN CERTIFICATE-----; convert a DER file by openssl x509."
            raise _refusal(place, "it holds no certificate in PEM form", remedy)
        for body in certificates:
            authority = _read(body, place)
            found.setdefault(authority.sha256, authority)
    return list(found.values())


def bundle_text(authorities: t.Iterable[Authority]) -> str:
    """Return the certificates as one normal PEM text: no byte order mark, no comments, one kind of line end."""
    return "".join(authority.pem for authority in authorities)


def split(text: str) -> list[str]:
    """Return the certificates of a PEM text one by one."""
    return [found.group() for found in _BLOCK.finditer(text)]


def fingerprints(text: str) -> list[str]:
    """Return the SHA-256 fingerprints of the readable certificates in a PEM text."""
    found = []
    for kind, body in _BLOCK.findall(text):
        try:
            der = base64.b64decode("".join(body.split()), validate=True)
        except ValueError:
            continue
        if kind == "CERTIFICATE":
            found.append(hashlib.sha256(der).hexdigest())
    return found


def _read(body: str, where: str) -> Authority:
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError) as exc:
        raise _refusal(where, f"a certificate cannot be read: {exc}", "Copy the whole file of the CA again.") from exc
    # OpenSSL lists only certificates that may sign others.
    listed = context.get_ca_certs()
    if not listed:
        raise _refusal(
            where,
            "a certificate is that of a server and not of a CA",
            "Give the CA that signed it: with the server's own, pulls fail at its next renewal.",
        )
    about: dict[str, t.Any] = listed[0]
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    authority = Authority(
        subject=subject_of(about),
        sha256=hashlib.sha256(der).hexdigest(),
        days_left=int((ssl.cert_time_to_seconds(about["notAfter"]) - time.time()) // DAY),
        pem=f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n",
    )
    if authority.days_left < 0:
        raise _refusal(where, f"{authority.subject} expired on {about['notAfter']}", "Take it out of the list.")
    return authority


def subject_of(about: t.Mapping[str, t.Any], key: str = "subject") -> str:
    """Return a name of a certificate, as the ssl module describes it, in one line."""
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    return ", ".join(f"{short.get(name, name)}={value}" for part in about.get(key, ()) for name, value in part)


def _refusal(where: str, got: str, remedy: str) -> NodeError:
    return NodeError("use the CA certificates", where=where, got=got, remedy=remedy)
