# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a client asks for before anybody answers: DNS questions, TLS server names, HTTP hosts. Private."""

from __future__ import annotations

import struct
import typing as t

A, AAAA = 1, 28


class Address(t.Protocol):
    """An address of either version, as ipaddress has them."""

    @property
    def version(self) -> int:
        """4 or 6."""

    @property
    def packed(self) -> bytes:
        """Its bytes."""


class Question(t.NamedTuple):
    """What a DNS query asks: the name in lower case without the last dot, and the number of the type."""

    name: str
    type: int


def question_of(message: bytes) -> Question | None:
    """Return the first question of a DNS message, or None for what is no query."""
    if len(message) < 17 or message[2] & 0x80 or struct.unpack_from("!H", message, 4)[0] < 1:
        return None
    labels, end = [], 12
    while end < len(message) and message[end]:
        length = message[end]
        if length > 63 or end + 1 + length >= len(message):
            return None
        labels.append(message[end + 1 : end + 1 + length].decode("ascii", "replace").lower())
        end += 1 + length
    if end + 5 > len(message):
        return None
    return Question(".".join(labels), struct.unpack_from("!H", message, end + 1)[0])


def answer_to(message: bytes, addresses: t.Sequence[Address]) -> bytes:
    """Return the answer to a query: those addresses that fit its type, or none.

    Args:
        message: the query, for which question_of() found a question.
        addresses: all addresses of the name.
    """
    question = t.cast(Question, question_of(message))
    fitting = [one for one in addresses if question.type == (A if one.version == 4 else AAAA)]
    end = 12 + sum(len(label) + 1 for label in question.name.split(".")) + 5 if question.name else 17
    # QR, RD as asked, RA; no error even without an answer: the name exists, as far as the client can tell.
    flags = 0x8080 | (message[2] & 0x01) << 8
    head = message[:2] + struct.pack("!5H", flags, 1, len(fitting), 0, 0)
    records = [struct.pack("!3HIH", 0xC00C, question.type, 1, 1, len(one.packed)) + one.packed for one in fitting]
    return head + message[12:end] + b"".join(records)


def server_name_of(data: bytes) -> str:
    """Return the server name of a TLS ClientHello; empty where there is none or the data is something else."""
    try:
        if data[0] != 0x16 or data[5] != 0x01:
            return ""
        # Handshake header, version, random; then session id, cipher suites and compression, each with its length.
        at = 9 + 2 + 32
        at += 1 + data[at]
        at += 2 + struct.unpack_from("!H", data, at)[0]
        at += 1 + data[at]
        end = at + 2 + struct.unpack_from("!H", data, at)[0]
        at += 2
        while at + 4 <= min(end, len(data)):
            kind, length = struct.unpack_from("!2H", data, at)
            if kind == 0:
                size = struct.unpack_from("!H", data, at + 7)[0]
                return data[at + 9 : at + 9 + size].decode("ascii", "replace")
            at += 4 + length
    except (IndexError, struct.error):
        pass
    return ""


def host_of(data: bytes) -> str:
    """Return the Host header of an HTTP/1 request, or what a CONNECT asks for; empty for something else."""
    head = data.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    if len(head[0].split()) != 3 or not head[0].split()[2].startswith(b"HTTP/"):
        return ""
    method, target, _version = head[0].split()
    if method == b"CONNECT":
        return target.decode("ascii", "replace")
    for line in head[1:]:
        name, _colon, value = line.partition(b":")
        if name.strip().lower() == b"host":
            return value.strip().decode("ascii", "replace")
    return ""
