# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The way out of a network that has a proxy: https_proxy, http_proxy and no_proxy of the environment. Private.

Beside what Python's library reads there, no_proxy may list networks, as curl and Go allow, and this machine itself is
never asked for by a proxy.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import BadNameError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Origin


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A proxy that speaks HTTP. authorization: value of the header of that name, empty for nobody."""

    host: str
    port: int
    authorization: str = dataclasses.field(default="", repr=False)

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What the proxy alone is shown."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}


class Proxies:
    """Which proxy leads where."""

    def __init__(self, found: Mapping[str, str]) -> None:
        """Keep them.

        Args:
            found: addresses by scheme (`http`, `https`, `all`), and under `no` what is reached without.
        """
        self._found = dict(found)

    @classmethod
    def of_environment(cls) -> Proxies:
        """Return those that the variables of the environment name."""
        return cls(urllib.request.getproxies_environment())

    def to(self, origin: Origin) -> Proxy | None:
        """Return the proxy that leads to an origin, None where there is none or none is wanted.

        Raises:
            BadNameError: when it cannot be used; its password is not shown.
        """
        variable = origin.scheme if self._found.get(origin.scheme) else "all"
        address = self._found.get(variable)
        return None if not address or self._is_direct(origin) else _read(address, variable)

    def _is_direct(self, origin: Origin) -> bool:
        try:
            address = ipaddress.ip_address(origin.host)
        except ValueError:
            address = None
        if origin.host == "localhost" or (address and address.is_loopback):
            return True
        listed = [one.strip() for one in self._found.get("no", "").split(",")]
        if address and any(address in network for network in map(_network, listed) if network):
            return True
        bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]  # unknown to the library's stubs
        return bool(bypass(f"{origin.host}:{origin.port}", {"no": ",".join(listed)}))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _read(address: str, variable: str) -> Proxy:
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise BadNameError(
            "use the proxy",
            where=f"{variable}_proxy of the environment",
            got=f"it begins with {parts.scheme}://"
            if parts.scheme != "http"
            else "it names no host, or no port up to 65535",
            remedy="Write http://proxy.example.com:3128, with user:password@ in front of the host if it asks.",
        )
    if parts.username is None:
        return Proxy(parts.hostname, port)
    account = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(parts.hostname, port, f"Basic {base64.b64encode(account).decode()}")
