# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where images come from: one session for each source, with what the user says about it. Private."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Sequence

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import ImageName, parse_image
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import context_from
from ansible_collections.homeport.registry.plugins.module_utils._registry_proxy import Proxies
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

# The API of Docker Hub is not where its images are named after.
_ADDRESSES = {"docker.io": "https://registry-1.docker.io"}


def sources_spec() -> dict[str, dict[str, t.Any]]:
    """Return the argument specification that the fragment `_bundle_building.sources` documents."""
    return {
        "sources": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "host": {"type": "str", "required": True},
                "url": {"type": "str"},
                "prefix": {"type": "str"},
                "username": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "validate_certs": {"type": "bool", "default": True},
                "ca_cert": {"type": "path"},
                "ca_cert_content": {"type": "str"},
            },
            "mutually_exclusive": [("ca_cert", "ca_cert_content")],
            "required_together": [("username", "password")],
        },
        "threads": {"type": "int", "default": 4},
        "timeout": {"type": "float", "default": 30.0},
        "patience": {"type": "float", "default": 300.0},
    }


class Source(t.NamedTuple):
    """A registry and what stands in front of the names of its repositories."""

    session: Session
    prefix: str

    def repository(self, name: ImageName) -> str:
        """Return where an image is in this registry."""
        return f"{self.prefix}/{name.repository}" if self.prefix else name.repository


class Sources:
    """All sources by host; may be used by many threads."""

    def __init__(self, given: Sequence[t.Mapping[str, t.Any]], *, timeout: float, patience: float) -> None:
        """Keep what is said about each host; nothing is connected yet.

        Args:
            given: the module's option `sources`.
            timeout: seconds to wait for each answer.
            patience: seconds that one request may wait because a registry asks to come back later.

        Raises:
            BundleError: when a host is there twice.
        """
        self._given: dict[str, t.Mapping[str, t.Any]] = {}
        for one in given:
            host, repository, _tag, _digest = parse_image(f"{one['host']}/any/name")
            if repository != "any/name" or host in self._given:
                got = "it is there twice" if host in self._given else "it is no host as image names begin"
                raise BundleError(
                    "use the sources",
                    where=ascii(one["host"]),
                    got=got,
                    remedy="Name each host once, as docker.io or registry.example.com:5000; put addresses in url.",
                )
            self._given[host] = one
        self._timeout, self._patience = timeout, patience
        self._proxies = Proxies.of_environment()
        self._open: dict[str, Source] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> Sources:
        """Return the sources that a module's parameters describe."""
        return cls(params["sources"], timeout=params["timeout"], patience=params["patience"])

    def of_image(self, name: ImageName) -> Source:
        """Return the source of an image.

        Raises:
            RegistryError: when its address, user name or CA certificates cannot be used.
        """
        with self._lock:
            if name.host not in self._open:
                self._open[name.host] = self._connect(name.host)
            return self._open[name.host]

    def _connect(self, host: str) -> Source:
        one = {"ca_cert": None, "ca_cert_content": None, "validate_certs": True} | dict(self._given.get(host, {}))
        transport = Transport(
            context=context_from(one),
            timeout=self._timeout,
            patience=self._patience,
            attempts=6,
            read_only=True,
            proxies=self._proxies,
        )
        url = one.get("url") or _ADDRESSES.get(host) or f"https://{host}"
        session = Session(transport, url, one.get("username"), one.get("password"))
        return Source(session, (one.get("prefix") or "").strip("/"))

    def close(self) -> None:
        """Close all connections."""
        for source in self._open.values():
            source.session.transport.close()
