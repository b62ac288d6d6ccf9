# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a server shows of itself before anything is said: its certificates. Private."""

from __future__ import annotations

import dataclasses
import hashlib
import ssl
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_dial import dial
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import UnreachableError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Origin
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import connection_error, make_context

DAY = 86400
# The ssl module has no public name for this encoding.
_DER = 2


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What a certificate says."""

    subject: str
    issuer: str
    names: list[str]
    not_before: str
    not_after: str
    days_left: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class TlsReport:
    """What a server showed: protocol, chain (leaf first), and why it is not trusted, if it is not."""

    protocol: str
    trusted: bool
    problem: str
    chain: list[Certificate]

    @property
    def days_left(self) -> int | None:
        """Days until the first certificate of the chain expires, rounded down."""
        return min((certificate.days_left for certificate in self.chain), default=None)


def inspect(origin: Origin, context: ssl.SSLContext, timeout: float) -> TlsReport:
    """Connect, look at the server's certificates and hang up.

    A server that is not trusted is looked at again without trust, so that the report can say what it shows.

    Raises:
        UnreachableError: when no TLS connection comes about at all.
    """
    try:
        return _look(origin, context, timeout, "")
    except ssl.SSLCertVerificationError as exc:
        problem = str(getattr(exc, "verify_message", exc))
    except (OSError, ssl.SSLError) as exc:
        raise _no_connection(origin, exc) from exc
    try:
        return _look(origin, make_context(verify=False), timeout, problem)
    except (OSError, ssl.SSLError) as exc:
        raise _no_connection(origin, exc) from exc


def _look(origin: Origin, context: ssl.SSLContext, timeout: float, problem: str) -> TlsReport:
    with (
        dial(origin.host, origin.port, timeout) as plain,
        context.wrap_socket(plain, server_hostname=origin.host) as secured,
    ):
        trusted = not problem and context.verify_mode == ssl.CERT_REQUIRED
        return TlsReport(secured.version() or "", trusted, problem, _chain(secured, trusted))


def _chain(secured: ssl.SSLSocket, trusted: bool) -> list[Certificate]:
    # Before Python 3.13 only the inner object knows the chain; without it the leaf has to do.
    inner = getattr(secured, "_sslobj", None)
    read = getattr(inner, "get_verified_chain" if trusted else "get_unverified_chain", None)
    certificates: t.Sequence[t.Any] = (read() if read else None) or []
    found = [_certificate(one.get_info(), one.public_bytes(_DER)) for one in certificates]
    if not found and (leaf := secured.getpeercert()):
        found = [_certificate(leaf, secured.getpeercert(binary_form=True) or b"")]
    return found


def _certificate(info: t.Mapping[str, t.Any], der: bytes) -> Certificate:
    return Certificate(
        subject=_name(info.get("subject", ())),
        issuer=_name(info.get("issuer", ())),
        names=[value for kind, value in info.get("subjectAltName", ()) if kind in ("DNS", "IP Address")],
        not_before=info["notBefore"],
        not_after=info["notAfter"],
        days_left=int((ssl.cert_time_to_seconds(info["notAfter"]) - time.time()) // DAY),
        sha256=hashlib.sha256(der).hexdigest(),
    )


def _name(parts: t.Iterable[t.Iterable[tuple[str, str]]]) -> str:
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    return ", ".join(f"{short.get(key, key)}={value}" for part in parts for key, value in part)


def _no_connection(origin: Origin, exc: OSError) -> UnreachableError:
    return connection_error("look at the certificate", f"{origin.host}:{origin.port}", exc)
