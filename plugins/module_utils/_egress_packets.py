# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Packets that begin something: who wants to talk to whom. Private."""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
import typing as t

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
_NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmp"}
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
ETH_P_ALL = 3


class Packet(t.NamedTuple):
    """The first packet of something: `kind` is tcp, udp, icmp or another protocol's number; ports 0 where none are."""

    kind: str
    destination: str
    port: int
    source_port: int


def packet_of(data: bytes) -> Packet | None:
    """Return what an IP packet begins, or None for one that goes on with, or answers, something."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        protocol, start = data[9], (data[0] & 0x0F) * 4
        destination = str(ipaddress.IPv4Address(data[16:20]))
        if struct.unpack_from("!H", data, 6)[0] & 0x1FFF:
            # A later fragment, which has no ports.
            return None
    elif len(data) >= 40 and data[0] >> 4 == 6:
        protocol, start = data[6], 40
        destination = str(ipaddress.IPv6Address(data[24:40]))
    else:
        return None
    rest = data[start:]
    kind = _NAMES.get(protocol, str(protocol))
    if protocol in (TCP, UDP):
        if len(rest) < 8 or (protocol == TCP and (len(rest) < 14 or rest[13] & 0x12 != 0x02)):
            return None
        source_port, port = struct.unpack_from("!2H", rest)
        return Packet(kind, destination, port, source_port)
    if protocol in (ICMP, ICMP6) and (not rest or rest[0] != (8 if protocol == ICMP else 128)):
        return None
    return Packet(kind, destination, 0, 0)


# Only first packets reach Python, so that no amount of allowed traffic makes one be lost. As the kernel's classic BPF:
# (code, jump if true, jump if false, value), on a packet that begins with its IP header.
_FILTER = (
    (0x30, 0, 0, 0),  # first byte
    (0x74, 0, 0, 4),  # its version
    (0x15, 0, 6, 4),  # IPv4? else to IPv6
    (0x30, 0, 0, 9),  # protocol
    (0x15, 0, 9, TCP),  # TCP? else keep
    (0xB1, 0, 0, 0),  # X = length of the IP header
    (0x50, 0, 0, 13),  # TCP flags
    (0x54, 0, 0, 0x12),
    (0x15, 5, 6, 0x02),  # SYN without ACK? keep, else drop
    (0x30, 0, 0, 6),  # next header
    (0x15, 0, 3, TCP),  # TCP? else keep
    (0x30, 0, 0, 53),  # TCP flags
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0xFFFF),  # keep
    (0x06, 0, 0, 0),  # drop
)


def open_sniffer() -> socket.socket:
    """Return a socket that receives the first packets on the loopback device of this thread's network namespace."""
    code = b"".join(struct.pack("HBBI", *step) for step in _FILTER)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HL", len(_FILTER), ctypes.addressof(buffer))
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    sniffer.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sniffer.bind(("lo", ETH_P_ALL))
    return sniffer


def lost(sniffer: socket.socket) -> int:
    """Return how many packets the kernel could not hand over since the last time somebody asked."""
    size = struct.calcsize("2I")
    _received, dropped = struct.unpack("2I", sniffer.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, size))
    return int(dropped)
