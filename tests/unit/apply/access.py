# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""The way to a server of a test's own, as a kubeconfig would describe it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import Access


def access_to(url: str, **more: Any) -> Access:
    """Return the access to an address, without any account."""
    configuration = SimpleNamespace(
        host=url,
        verify_ssl=False,
        assert_hostname=None,
        tls_server_name=None,
        proxy=None,
        no_proxy=None,
        auth_settings=dict,
    )
    return Access(configuration, "a test", **more)
