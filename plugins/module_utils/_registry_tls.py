# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""TLS: which servers to believe, and what went wrong with it. Private."""

from __future__ import annotations

import re
import socket
import sys
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    ProxyError,
    TlsError,
    UnreachableError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_pace import DripError

if t.TYPE_CHECKING:
    import ssl

# What to do where it may be the clock.
CLOCK = "Set the clock of the machine that looked, if that is wrong; else give the server a certificate valid today."
# What is said when a proxy refuses to lead on.
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3}.*)")


def make_context(*, ca_file: str | None = None, ca_text: str | None = None, verify: bool = True) -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Args:
        ca_file: file of PEM certificates that alone are trusted, instead of the system's.
        ca_text: the same as text.
        verify: whether the server has to prove its name at all.

    Raises:
        TlsError: when the certificates cannot be read.
    """
    # Importing this takes longer than most of what is done without TLS.
    import ssl

    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=ca_file, cadata=ca_text)
    except (OSError, ssl.SSLError, ValueError) as exc:
        raise TlsError(
            "read the CA certificates",
            where=ca_file or "the text given",
            got=str(exc),
            remedy="Give one or more certificates in PEM form that this user may read.",
        ) from exc


def clock(problem: str) -> str:
    """Return what the clock here says if that may be what is wrong, to be put behind what OpenSSL says."""
    if "not yet valid" not in problem and "expired" not in problem:
        return ""
    return f"; the clock of the machine that looked says {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"


def is_broken(exc: BaseException | None) -> bool:
    """Tell whether an error only says that the other side hung up, which says nothing against it or its TLS."""
    ssl = sys.modules.get("ssl")
    return isinstance(exc, ConnectionError) or bool(ssl and isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)))


def connection_error(tried: str, where: str, exc: BaseException) -> UnreachableError:
    """Turn what the operating system or the TLS library reports into an error that says what to do."""
    # What was never imported has raised nothing.
    ssl = sys.modules.get("ssl")
    # Errors that Python itself raises lack what OpenSSL would have added.
    if ssl and isinstance(exc, ssl.SSLCertVerificationError):
        problem = str(getattr(exc, "verify_message", exc))
        return TlsError(
            tried,
            where=where,
            got=f"the server's certificate is not trusted: {problem}{clock(problem)}",
            remedy=(clock(problem) and CLOCK)
            or "Give the CA that signed it (ca_cert), or have the server show a certificate for this name.",
        )
    if ssl and isinstance(exc, ssl.SSLError) and not is_broken(exc):
        return TlsError(
            tried,
            where=where,
            got=f"the TLS connection failed: {getattr(exc, 'reason', None) or exc}",
            remedy="Check that this port speaks TLS 1.2 or newer; begin the address with http:// if it does not.",
        )
    if tunnel := _TUNNEL.match(str(exc)):
        kind = ProxyError if tunnel[1].startswith("4") else UnreachableError
        return kind(
            tried,
            where=where,
            got=f"the proxy answered {tunnel[1]}",
            remedy="Check https_proxy and no_proxy of the environment, the account, and what the proxy lets through.",
        )
    if isinstance(exc, socket.gaierror):
        got, remedy = "the host name does not resolve", "Check the name, and the DNS of the machine that runs this."
    elif isinstance(exc, ConnectionRefusedError):
        got, remedy = "nothing listens there", "Check the port, and that the registry and what exposes it are up."
    elif isinstance(exc, DripError):
        got, remedy = str(exc), "Look into the log of the registry and of the proxy in front, or raise the timeout."
    elif isinstance(exc, TimeoutError):
        got, remedy = "no answer in time", "Check routes and network policies on the way, or raise the timeout."
    else:
        got = f"the connection broke: {exc or type(exc).__name__}"
        remedy = "Repeat; if it stays, look into the log of the registry and of the proxy in front of it."
    return UnreachableError(tried, where=where, got=got, remedy=remedy)
