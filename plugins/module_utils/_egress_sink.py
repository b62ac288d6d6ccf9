# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What answers a program that calls out: a DNS for every name, and listeners that note what is wanted. Private."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import selectors
import socket
import struct
import threading
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _egress_names as names
from ansible_collections.homeport.registry.plugins.module_utils import _egress_packets as packets
from ansible_collections.homeport.registry.plugins.module_utils._egress_callers import caller_of
from ansible_collections.homeport.registry.plugins.module_utils._egress_events import Log
from ansible_collections.homeport.registry.plugins.module_utils._egress_relay import Relay
from ansible_collections.homeport.registry.plugins.module_utils._egress_space import EgressError

DNS = 53
# Reserved for measurements, so that no address of it means anything to anybody.
_BLOCK = ipaddress.IPv4Network("198.18.0.0/15")
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PACKET_OUTGOING = 4
# A packet of our own behind the last one of a program.
_MARK = (str(_BLOCK.broadcast_address), 9)
# Linux has them; Python gives names only to newer versions.
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50


class Sink:
    """Listens in the sealed network. Make it in the thread that was sealed."""

    def __init__(self, relay: Relay, log: Log) -> None:
        """Open every socket and begin.

        Args:
            relay: what is allowed.
            log: takes the events.

        Raises:
            EgressError: when a socket cannot be opened.
        """
        self._relay, self._log = relay, log
        self._network = os.readlink("/proc/thread-self/ns/net")
        self._lock = threading.Lock()
        self._given: dict[str, ipaddress.IPv4Address] = {}
        self._asker: dict[str, str] = {}
        self._own_name = socket.gethostname().lower()
        self._marked = threading.Event()
        self._busy = 0
        try:
            self._sniffer = packets.open_sniffer()
            self._questions = _udp(DNS)
            self._ports = sorted({DNS, 80, 443} | {one.port for one in relay.places})
            listeners = [_tcp(port) for port in self._ports]
        except OSError as exc:
            raise EgressError(
                "listen in the network namespace",
                where="this machine",
                got=str(exc.strerror or exc),
                remedy="Run as root (become) on Linux.",
            ) from exc
        self._start(self._sniff)
        self._start(self._answer_questions)
        self._start(self._accept, listeners)

    def finish(self, seconds: float = 30) -> None:
        """Wait until everything that was sent so far is in the log; add to its faults what cannot be there."""
        deadline = time.monotonic() + seconds
        self._marked.clear()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as marker:
            while not self._marked.wait(0.1):
                # Again and again, since a full queue drops the mark as well.
                marker.sendto(b"", _MARK)
                if time.monotonic() > deadline:
                    self._log.faults.append("the packets could not be read in time")
                    break
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.02)
        dropped = packets.lost(self._sniffer)
        if dropped:
            self._log.faults.append(f"{dropped} first packets were lost, since there were too many at once")

    def _start(self, target: t.Callable[..., None], *arguments: t.Any) -> None:
        def guarded() -> None:
            try:
                target(*arguments)
            except Exception as exc:
                self._log.faults.append(f"a listener ended: {exc!r}")

        threading.Thread(target=guarded, daemon=True).start()

    def _name_of(self, address: str) -> str:
        with self._lock:
            return next((name for name, given in self._given.items() if str(given) == address), "")

    def _addresses_of(self, name: str) -> list[names.Address]:
        """Return the addresses of a name: the true ones of what is allowed, else one that stands for this name."""
        allowed = self._relay.addresses(name)
        if allowed:
            return allowed
        with self._lock:
            if name not in self._given:
                self._given[name] = _BLOCK[1 + len(self._given) % (_BLOCK.num_addresses - 2)]
            return [self._given[name]]

    def _reply_to(self, message: bytes, kind: str, port: int) -> bytes:
        """Return the answer to a question, and note it unless it is about what is allowed; empty for no question."""
        question = names.question_of(message)
        if question is None:
            return b""
        # A machine that asks for itself does not ask anybody else.
        if question.name in (self._own_name, "localhost"):
            return names.answer_to(message, [ipaddress.ip_address("127.0.0.1")])
        if not self._relay.addresses(question.name):
            # Before the answer: as long as it waits, the program is there.
            program = caller_of(kind, port, self._network)
            with self._lock:
                self._asker[question.name] = program
            self._log.asked(question.name, program)
        return names.answer_to(message, self._addresses_of(question.name))

    def _answer_questions(self) -> None:
        while True:
            message, about, _flags, client = self._questions.recvmsg(4096, 256)
            answer = self._reply_to(message, "udp", client[1])
            if not answer:
                continue
            # Programs accept an answer only from the address that they have asked.
            asked = [data for level, kind, data in about if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO)]
            control = [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, asked[0][:16] + struct.pack("I", 0))] if asked else []
            with contextlib.suppress(OSError):
                self._questions.sendmsg([answer], control, 0, client)

    def _accept(self, listeners: t.Sequence[socket.socket]) -> None:
        with selectors.DefaultSelector() as selector:
            for one in listeners:
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _events in selector.select():
                    listener = t.cast(socket.socket, key.fileobj)
                    client, peer = listener.accept()
                    self._start(self._serve, client, peer[1])

    def _serve(self, client: socket.socket, source_port: int) -> None:
        address, port = _plain(client.getsockname()[0]), client.getsockname()[1]
        place = self._relay.place(address, port)
        if place:
            self._relay.connect(client, place, address)
            return
        with self._lock:
            self._busy += 1
        try:
            with client, contextlib.suppress(OSError, struct.error):
                client.settimeout(3)
                if port == DNS:
                    self._serve_questions(client, source_port)
                elif not ipaddress.ip_address(address).is_loopback:
                    self._refuse(client, packets.Packet("tcp", address, port, source_port))
        finally:
            with self._lock:
                self._busy -= 1

    def _serve_questions(self, client: socket.socket, source_port: int) -> None:
        while True:
            size = client.recv(2)
            answer = self._reply_to(client.recv(struct.unpack("!H", size)[0]), "tcp", source_port)
            client.sendall(struct.pack("!H", len(answer)) + answer)

    def _refuse(self, client: socket.socket, packet: packets.Packet) -> None:
        self._note(packet, program=caller_of("tcp", packet.source_port, self._network))
        data = client.recv(16384)
        host = names.host_of(data)
        self._note(packet, server_name=names.server_name_of(data), host=host)
        if host:
            client.sendall(_REFUSAL)

    def _note(self, packet: packets.Packet, **more: str) -> None:
        name = self._name_of(packet.destination)
        if not more.get("program"):
            # The program may be gone already, but it was there when it asked for the name.
            with self._lock:
                more["program"] = self._asker.get(name, "")
        self._log.called(packet.kind, packet.destination, packet.port, packet.source_port, name=name, **more)

    def _sniff(self) -> None:
        while True:
            data, about = self._sniffer.recvfrom(256)
            if about[2] != _PACKET_OUTGOING:
                continue
            packet = packets.packet_of(data)
            if packet and (packet.destination, packet.port) == _MARK:
                self._marked.set()
                continue
            if packet is None or ipaddress.ip_address(packet.destination).is_loopback:
                continue
            # What goes to or from the DNS is noted by the question.
            if packet.kind in ("tcp", "udp") and DNS in (packet.port, packet.source_port):
                continue
            if packet.kind == "tcp" and self._relay.place(packet.destination, packet.port):
                continue
            program = "" if packet.port in self._ports else caller_of(packet.kind, packet.source_port, self._network)
            self._note(packet, program=program)


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def _open(kind: int) -> socket.socket:
    try:
        one = socket.socket(socket.AF_INET6, kind)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except OSError:
        one = socket.socket(socket.AF_INET, kind)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return one


def _tcp(port: int) -> socket.socket:
    one = _open(socket.SOCK_STREAM)
    one.bind(("", port))
    one.listen(512)
    return one


def _udp(port: int) -> socket.socket:
    one = _open(socket.SOCK_DGRAM)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    one.bind(("", port))
    return one
