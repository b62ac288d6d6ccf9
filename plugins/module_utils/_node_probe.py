# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the node itself sees of a registry: name, connection, certificates. Private.

The rules are those of Go's verifier, since it is the one that decides for the runtime: the given CAs count in addition
to the system's, and a name counts only as a subject alternative name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import socket
import ssl
import tempfile
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import DistrustError, NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_pem import split, subject_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_dial import dial, dial_first, places_of

# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_MISMATCH = (62, 64)
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_EXPIRED = (9, 10)


@dataclasses.dataclass(frozen=True)
class Presented:
    """What the server showed."""

    address: str
    protocol: str
    subject: str
    issuer: str
    names: list[str]
    not_before: str
    not_after: str
    sha256: str

    def as_dict(self) -> dict[str, t.Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def split_host(registry: str) -> tuple[str, int | None]:
    """Return host and port of the first part of an image name; IPv6 literals stand in brackets."""
    if registry.startswith("["):
        host, _bracket, rest = registry[1:].partition("]")
        return host, int(rest[1:]) if rest[1:] else None
    host, colon, port = registry.rpartition(":")
    return (host, int(port)) if colon else (registry, None)


def connect(registry: str, address: str, timeout: float, default_port: int = 443) -> socket.socket:
    """Return an open connection, to the given address or to what the node's resolver says.

    Raises:
        NodeError: when the name does not resolve on the node, or none of its addresses takes a connection.
    """
    host, port = split_host(registry)
    port = port or default_port
    try:
        places = places_of(address or host, port)
    except OSError as exc:
        raise NodeError(
            "resolve the registry's name on this node",
            where=host,
            got=str(exc.strerror or exc),
            remedy="Nodes do not use the cluster's DNS. Add the name to the DNS that this node asks, or give the"
            " registry an address, which is then kept in /etc/hosts.",
        ) from exc
    try:
        return dial_first(places, timeout)
    except OSError as exc:
        got = "nothing listens there" if isinstance(exc, ConnectionRefusedError) else str(exc.strerror or exc)
        tried = ", ".join(dict.fromkeys(str(place[0]) for _family, place in places))
        raise NodeError(
            "connect to the registry from this node",
            where=f"{registry} ({tried} port {port})",
            got=got or "no answer in time",
            remedy="Check the port, the firewalls on the way, and that the registry is exposed to the nodes.",
        ) from exc


def look(registry: str, address: str, ca_text: str, timeout: float, *, verify: bool = True) -> Presented:
    """Connect with TLS the way the runtime will and return what the server shows.

    Args:
        registry: host and port as in image names.
        address: address to use instead of the resolver's answer, or empty.
        ca_text: CA certificates that count beside the system's.
        timeout: seconds for the connection and for the handshake.
        verify: whether to insist on trust at all.

    Raises:
        NodeError: when there is no connection.
        DistrustError: when there is one, and no trust.
    """
    try:
        return _look(registry, address, make_context(ca_text) if verify else _blind(), timeout)
    except DistrustError:
        # OpenSSL stops at the first of two CAs of one name without key identifiers, where Go tries both.
        for single in split(ca_text) if len(split(ca_text)) > 1 else []:
            with contextlib.suppress(DistrustError):
                return _look(registry, address, make_context(single), timeout)
        raise


def _look(registry: str, address: str, context: ssl.SSLContext, timeout: float) -> Presented:
    host, _port = split_host(registry)
    plain = connect(registry, address, timeout)
    ip, port = plain.getpeername()[:2]
    try:
        with context.wrap_socket(plain, server_hostname=host) as secured:
            return _presented(secured, ip)
    except ssl.SSLCertVerificationError as exc:
        raise _distrust(registry, ip, port, timeout, exc) from exc
    except (ssl.SSLError, OSError) as exc:
        raise _no_tls(registry, ip, port, timeout, exc) from exc
    finally:
        plain.close()


def make_context(ca_text: str) -> ssl.SSLContext:
    """Return the trust of the system and of these CAs, judged as Go judges it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.hostname_checks_common_name = False
    if ca_text:
        context.load_verify_locations(cadata=ca_text)
    return context


def trusts(registry: str, address: str, ca_text: str, timeout: float) -> bool:
    """Tell whether these CAs are enough for what the server shows now. Without a connection the answer is no."""
    try:
        look(registry, address, ca_text, timeout)
    except NodeError:
        return False
    return True


def _blind() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _presented(secured: ssl.SSLSocket, ip: str) -> Presented:
    der = secured.getpeercert(binary_form=True) or b""
    about = dict(secured.getpeercert() or decode(der))
    return Presented(
        address=ip,
        protocol=secured.version() or "",
        subject=subject_of(about),
        issuer=subject_of(about, "issuer"),
        names=[value for kind, value in about.get("subjectAltName", ()) if kind in ("DNS", "IP Address")],
        not_before=about.get("notBefore", ""),
        not_after=about.get("notAfter", ""),
        sha256=hashlib.sha256(der).hexdigest(),
    )


def decode(der: bytes) -> dict[str, t.Any]:
    """Return what a certificate says, also one that is not trusted; empty where Python cannot tell."""
    reader = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    if not der or not reader:
        return {}
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w") as file:
            file.write(ssl.DER_cert_to_PEM_cert(der))
        found: dict[str, t.Any] = reader(path)
    except (OSError, ssl.SSLError, ValueError):
        return {}
    finally:
        os.unlink(path)
    return found


def _seen_blindly(registry: str, ip: str, port: int, timeout: float) -> Presented | None:
    try:
        with (
            dial(ip, port, timeout) as plain,
            _blind().wrap_socket(plain, server_hostname=split_host(registry)[0]) as secured,
        ):
            return _presented(secured, ip)
    except OSError:
        return None


def _distrust(registry: str, ip: str, port: int, timeout: float, exc: ssl.SSLCertVerificationError) -> NodeError:
    seen = _seen_blindly(registry, ip, port, timeout)
    host, _port = split_host(registry)
    code = getattr(exc, "verify_code", 0)
    got = getattr(exc, "verify_message", str(exc))
    remedy = "Give the CA that signed this certificate in ca_certificates."
    if seen:
        got += f"; the server shows {seen.subject or 'a certificate without a subject'}, signed by {seen.issuer}"
    if code in _MISMATCH and seen and not seen.names:
        got = f"the certificate of {seen.subject} names nothing as subject alternative name"
        remedy = "Reissue it with the name as a DNS subject alternative name: runtimes do not read the common name."
    elif code in _MISMATCH and seen:
        got = f"the certificate is for {', '.join(seen.names)} and not for {host}"
        remedy = f"Reissue it with {host} as a subject alternative name, or use one of its names in image names."
    elif code in _EXPIRED and seen:
        early = code == _EXPIRED[0]
        valid = f"is valid from {seen.not_before} on" if early else f"was valid until {seen.not_after}"
        got = f"{got}; it {valid}, and the clock of this node says {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"
        remedy = "Compare the clock of this node with others, and set it by chrony or systemd-timesyncd."
        if not early:
            remedy = "Renew the server's certificate, or set the clock of this node if that is wrong."
    return DistrustError(
        "trust the registry from this node", where=f"{registry} ({ip} port {port})", got=got, remedy=remedy
    )


def _no_tls(where: str, ip: str, port: int, timeout: float, exc: Exception) -> NodeError:
    got = f"the TLS handshake failed: {getattr(exc, 'reason', None) or exc or type(exc).__name__}"
    remedy = "Check that this port speaks TLS 1.2 or newer."
    if "timed out" in str(exc):
        got = f"it takes connections and keeps silent: no TLS handshake within {timeout:g} seconds"
        remedy = "Check the server behind this port, and what stands in front of it: one that hangs looks like this."
    elif _speaks_http(ip, port, timeout):
        got = "the server answers with plain HTTP"
        remedy = "Expose the registry with TLS, or say in words that it has none: plain_http: true."
    return NodeError("speak TLS with the registry", where=f"{where} ({ip} port {port})", got=got, remedy=remedy)


def _speaks_http(ip: str, port: int, timeout: float) -> bool:
    try:
        with dial(ip, port, timeout) as plain:
            plain.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
            return plain.recv(5) == b"HTTP/"
    except OSError:
        return False
