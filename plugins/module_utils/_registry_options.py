# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options that every module with a registry connection has. Private."""

from __future__ import annotations

import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

if t.TYPE_CHECKING:
    import ssl


def connection_spec() -> dict[str, dict[str, t.Any]]:
    """Return the argument specification that the fragment `_registry` documents."""
    return {
        "url": {"type": "str", "required": True},
        "validate_certs": {"type": "bool", "default": True},
        "ca_cert": {"type": "path"},
        "ca_cert_content": {"type": "str"},
        "timeout": {"type": "float", "default": 10.0},
    }


def account_spec() -> dict[str, dict[str, t.Any]]:
    """Return the argument specification that the fragment `_registry.reading` documents."""
    return {
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "repositories": {"type": "list", "elements": "str", "default": ["*"]},
        "threads": {"type": "int", "default": 8},
    }


ACCOUNT_TOGETHER = [("username", "password")]
CONNECTION_EXCLUSIVE = [("ca_cert", "ca_cert_content")]


def context_from(params: t.Mapping[str, t.Any]) -> ssl.SSLContext | None:
    """Return the TLS settings that a module's parameters ask for, nothing for those of the system.

    Raises:
        TlsError: when the CA certificates cannot be read.
    """
    if params["validate_certs"] and not (params["ca_cert"] or params["ca_cert_content"]):
        return None
    return make_context(
        ca_file=params["ca_cert"], ca_text=params["ca_cert_content"], verify=bool(params["validate_certs"])
    )


def reading_session(params: t.Mapping[str, t.Any], observer: t.Callable[[Exchange], None] | None = None) -> Session:
    """Return a session with the address and account of a module's parameters that refuses to write.

    Raises:
        RegistryError: when the address, the user name or the CA certificates cannot be used.
    """
    transport = Transport(
        context=context_from(params),
        timeout=params["timeout"],
        patience=params["timeout"],
        read_only=True,
        observer=observer,
    )
    return Session(transport, params["url"], params["username"], params["password"])
