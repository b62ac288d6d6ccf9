# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options that every module with a registry connection has. Private."""

from __future__ import annotations

import ssl
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context


def connection_spec() -> dict[str, dict[str, t.Any]]:
    """Return the argument specification that the fragment `_registry` documents."""
    return {
        "url": {"type": "str", "required": True},
        "validate_certs": {"type": "bool", "default": True},
        "ca_cert": {"type": "path"},
        "ca_cert_content": {"type": "str"},
        "timeout": {"type": "float", "default": 10.0},
    }


CONNECTION_EXCLUSIVE = [("ca_cert", "ca_cert_content")]


def context_from(params: t.Mapping[str, t.Any]) -> ssl.SSLContext:
    """Return the TLS settings that a module's parameters ask for.

    Raises:
        TlsError: when the CA certificates cannot be read.
    """
    return make_context(
        ca_file=params["ca_cert"], ca_text=params["ca_cert_content"], verify=bool(params["validate_certs"])
    )
