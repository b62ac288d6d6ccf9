# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The places that the watched program may reach, and the way to them. Private."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import re
import socket
import struct
import threading
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _egress_names as names
from ansible_collections.homeport.registry.plugins.module_utils._egress_space import EgressError

_CHUNK = 1 << 18
_PLACE = re.compile(
    r"^(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})(?:=(?P<address>.+))?$"
)


@dataclasses.dataclass
class Place:
    """A host and port that may be reached; the counters are of the connections made through the watch."""

    host: str
    port: int
    addresses: list[names.Address]
    connections: int = 0
    sent: int = 0
    received: int = 0

    def as_dict(self) -> dict[str, t.Any]:
        """Return what a user wants to know."""
        return {
            "host": self.host,
            "port": self.port,
            "addresses": [str(one) for one in self.addresses],
            "connections": self.connections,
            "bytes_sent": self.sent,
            "bytes_received": self.received,
        }


def place_of(text: str) -> Place:
    """Return a place from host:port, resolved by this machine, or from host:port=address.

    Raises:
        EgressError: when it is written in another way, or the name leads nowhere.
    """
    found = _PLACE.match(text)
    if not found or not 0 < int(found["port"]) < 65536:
        raise EgressError(
            "read what is allowed",
            where=text,
            got="it is not host:port or host:port=address",
            remedy="Write a name or an address with a port, such as registry.example.com:443 or [2001:db8::1]:443.",
        )
    host = (found["six"] or found["host"]).lower().rstrip(".")
    if found["address"]:
        try:
            return Place(host, int(found["port"]), [ipaddress.ip_address(found["address"])])
        except ValueError as exc:
            remedy = "Write an IP address behind the equals sign, or leave both out."
            raise EgressError("read what is allowed", where=text, got=str(exc), remedy=remedy) from exc
    try:
        answers = socket.getaddrinfo(host, int(found["port"]), type=socket.SOCK_STREAM)
    except OSError as exc:
        raise EgressError(
            "find what is allowed",
            where=text,
            got=str(exc.strerror or exc),
            remedy="Correct the name, or add it to the DNS or to /etc/hosts of this machine.",
        ) from exc
    addresses = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
    return Place(host, int(found["port"]), list(dict.fromkeys(addresses)))


class Relay:
    """Connects what is allowed: it accepts inside and goes on outside."""

    def __init__(self, places: t.Sequence[Place], leave: t.Callable[[], None]) -> None:
        """Keep the places.

        Args:
            places: what may be reached.
            leave: moves a thread to the network of this machine.
        """
        self.places = places
        self._leave = leave
        self._lock = threading.Lock()

    def place(self, address: str, port: int) -> Place | None:
        """Return the place that has this address and port, or None."""
        wanted = ipaddress.ip_address(address)
        return next((one for one in self.places if one.port == port and wanted in one.addresses), None)

    def addresses(self, name: str) -> list[names.Address]:
        """Return the addresses of a name that may be reached, else none."""
        return [address for one in self.places if one.host == name for address in one.addresses]

    def connect(self, client: socket.socket, place: Place, address: str) -> None:
        """Connect a client to an address of a place, until both have said everything. In a thread of its own."""
        self._leave()
        try:
            server = socket.create_connection((address, place.port), timeout=30)
        except OSError:
            # A reset, as near as we can come to what the client would have seen.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 0))
            client.close()
            return
        with self._lock:
            place.connections += 1
        with client, server:
            for one in (client, server):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pump, args=(server, client, place, "received"), daemon=True)
            back.start()
            self._pump(client, server, place, "sent")
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, place: Place, counter: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(_CHUNK)
                if not data:
                    break
                target.sendall(data)
                with self._lock:
                    setattr(place, counter, getattr(place, counter) + len(data))
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
