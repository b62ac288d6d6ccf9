# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who called whom: events as they are seen, and the list that is left of them. Private."""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t


@dataclasses.dataclass
class Event:
    """One attempt to reach something that is not allowed.

    `at` is in seconds since the watch began. `kind` is dns, tcp, udp, icmp or a protocol's number. `name` is what was
    asked of the DNS, for a connection the name that led to its address; `server_name` comes from TLS, `host` from HTTP.
    """

    at: float
    kind: str
    name: str = ""
    address: str = ""
    port: int = 0
    server_name: str = ""
    host: str = ""
    program: str = ""


class Log:
    """Events of one watch; its methods may be called by any thread."""

    def __init__(self) -> None:
        """Begin now."""
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._by_ports: dict[tuple[str, str, int, int], Event] = {}
        # Problems of the watch itself, which make its silence worth nothing.
        self.faults: list[str] = []

    def now(self) -> float:
        """Return seconds since the beginning."""
        return time.monotonic() - self._began

    def asked(self, name: str, program: str) -> None:
        """Note a question to the DNS."""
        with self._lock:
            self._events.append(Event(self.now(), "dns", name=name, program=program))

    def called(self, kind: str, address: str, port: int, source_port: int, **more: str) -> None:
        """Note a first packet or a connection. Both see the same one, in any order, and it is one event.

        Args:
            kind: tcp, udp, icmp or a number.
            address: where it went.
            port: the port there; 0 for none.
            source_port: the port that it came from, by which both are recognised.
            **more: other fields of Event, taken where they say something.
        """
        key = (kind, address, port, source_port)
        with self._lock:
            found = self._by_ports.get(key) if source_port else None
            if found is None:
                found = Event(self.now(), kind, address=address, port=port)
                self._events.append(found)
                self._by_ports[key] = found
            for field, value in more.items():
                if value and not getattr(found, field):
                    setattr(found, field, value)

    def between(self, start: float, end: float) -> list[Event]:
        """Return the events of a stretch of time, in seconds since the beginning."""
        with self._lock:
            return [one for one in self._events if start <= one.at < end]


def gathered(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return events as JSON, those that differ only in time as one with a count."""
    found: dict[tuple[t.Any, ...], dict[str, t.Any]] = {}
    for event in events:
        body = dataclasses.asdict(event)
        at = round(body.pop("at"), 1)
        entry = found.setdefault(tuple(body.values()), {"first_at": at, **body, "count": 0})
        entry["count"] += 1
    return list(found.values())


def line_of(entry: t.Mapping[str, t.Any]) -> str:
    """Return a gathered event as a line for people."""
    who = entry["program"] or "a program"
    times = f", {entry['count']} times" if entry["count"] > 1 else ""
    if entry["kind"] == "dns":
        return f"{who} asked the DNS for {entry['name']}{times}"
    name = entry["server_name"] or entry["host"] or entry["name"]
    place = f"{entry['address']}:{entry['port']}" if entry["port"] else entry["address"]
    where = f"{name} ({place})" if name else place
    return f"{who} called {where} by {entry['kind'].upper()}{times}"
