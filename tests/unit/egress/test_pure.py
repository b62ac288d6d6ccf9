# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of packets, questions and greetings, and what is left of it."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _egress_events as events
from ansible_collections.homeport.registry.plugins.module_utils import _egress_names as names
from ansible_collections.homeport.registry.plugins.module_utils import _egress_packets as packets
from ansible_collections.homeport.registry.plugins.module_utils import _egress_relay as relay
from ansible_collections.homeport.registry.plugins.module_utils._egress_callers import in_short
from ansible_collections.homeport.registry.plugins.module_utils._egress_space import EgressError, hosts_by_dns


def query(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0" + struct.pack("!2H", kind, 1)


@pytest.mark.parametrize("kind", [1, 28, 12, 99])
def test_a_question_is_read(kind):
    question = names.question_of(query("Index.Example.com", kind))
    assert question
    assert question == ("index.example.com", kind)


@pytest.mark.parametrize(
    "message",
    [b"", b"\0" * 11, query("a.example")[:15], b"\x12\x34\x81\x80" + query("a.example")[4:], b"\xff" * 40],
    ids=["nothing", "short", "cut", "answer", "noise"],
)
def test_what_is_no_question_is_left_alone(message):
    assert names.question_of(message) is None


def test_an_answer_holds_what_fits_the_type():
    addresses = [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")]
    four = names.answer_to(query("a.example", 1), addresses)
    assert four[:2] == b"\x12\x34"
    assert struct.unpack_from("!4H", four, 2) == (0x8180, 1, 1, 0)
    assert four.endswith(b"\x00\x04\xc0\x00\x02\x01")
    assert names.answer_to(query("a.example", 28), addresses).endswith(b"\x00\x10" + addresses[1].packed)
    # No error and no answer, or the resolver would ask for the name with a suffix.
    assert struct.unpack_from("!3H", names.answer_to(query("a.example", 15), addresses), 2) == (0x8180, 1, 0)


def greeting(server_name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    written = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), written, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return written.read()


def test_the_server_name_of_a_real_greeting_is_read():
    assert names.server_name_of(greeting("registry.example.com")) == "registry.example.com"
    assert names.server_name_of(greeting(None)) == ""


def test_half_a_greeting_has_no_server_name():
    whole = greeting("registry.example.com")
    assert {names.server_name_of(whole[:size]) for size in range(60)} == {""}


@pytest.mark.parametrize(
    ("data", "host"),
    [
        (b"GET / HTTP/1.1\r\nAccept: */*\r\nHOST: a.example:81\r\n\r\nHost: b", "a.example:81"),
        (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", "a.example:443"),
        (b"GET / HTTP/1.0\r\n\r\nHost: body.example", ""),
        (b"SSH-2.0-OpenSSH_9\r\n", ""),
        (b"", ""),
    ],
)
def test_the_host_of_a_request_is_read(data, host):
    assert names.host_of(data) == host


def four(protocol: int, rest: bytes, fragment: int = 0) -> bytes:
    head = struct.pack("!2B3H2BH", 0x45, 0, 20 + len(rest), 1, fragment, 64, protocol, 0)
    return head + socket.inet_aton("127.0.0.1") + socket.inet_aton("192.0.2.1") + rest


def six(protocol: int, rest: bytes) -> bytes:
    head = struct.pack("!IH2B", 0x60000000, len(rest), protocol, 64)
    return head + bytes(16) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + rest


def tcp(flags: int) -> bytes:
    return struct.pack("!2H2I2B3H", 40000, 443, 0, 0, 0x50, flags, 0, 0, 0)


UDP = struct.pack("!4H", 40000, 123, 8, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (four(6, tcp(0x02)), ("tcp", "192.0.2.1", 443, 40000)),
        (six(6, tcp(0x02)), ("tcp", "2001:db8::1", 443, 40000)),
        (four(6, tcp(0x12)), None),
        (four(6, tcp(0x10)), None),
        (four(6, tcp(0x04)), None),
        (four(17, UDP), ("udp", "192.0.2.1", 123, 40000)),
        (six(17, UDP), ("udp", "2001:db8::1", 123, 40000)),
        (four(17, UDP, fragment=5), None),
        (four(1, b"\x08\0\0\0"), ("icmp", "192.0.2.1", 0, 0)),
        (four(1, b"\x03\0\0\0"), None),
        (six(58, b"\x80\0\0\0"), ("icmp", "2001:db8::1", 0, 0)),
        (four(132, b"\0" * 12), ("132", "192.0.2.1", 0, 0)),
        (b"", None),
        (b"\x45", None),
    ],
)
def test_only_what_begins_something_counts(data, expected):
    assert packets.packet_of(data) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/usr/bin/skopeo", "login", "--password", "secret"], "skopeo"),
        (["/usr/bin/python3.11", "-I", "/opt/x/AnsiballZ_uri.py", "secret"], "python3.11 AnsiballZ_uri.py"),
        (["python3", "-m", "pip", "install", "secret"], "python3 -m pip"),
        (["python3", "-c", "secret"], "python3"),
        (["sh"], "sh"),
        (["", ""], ""),
        ([], ""),
    ],
)
def test_a_program_is_named_without_its_arguments(words, expected):
    assert in_short(words) == expected


def test_the_packet_and_the_connection_are_one_event_in_any_order():
    log = events.Log()
    log.called("tcp", "192.0.2.1", 443, 40000, program="pip")
    log.called("tcp", "192.0.2.1", 443, 40000, server_name="a.example", program="other")
    log.called("tcp", "192.0.2.1", 443, 40001)
    found = log.between(0, log.now() + 1)
    assert [(one.program, one.server_name) for one in found] == [("pip", "a.example"), ("", "")]


def test_equal_events_are_counted():
    log = events.Log()
    for _time in range(3):
        log.asked("a.example", "pip")
    log.called("udp", "192.0.2.1", 123, 1)
    gathered = events.gathered(log.between(0, log.now() + 1))
    assert [entry["count"] for entry in gathered] == [3, 1]
    assert [events.line_of(entry) for entry in gathered] == [
        "pip asked the DNS for a.example, 3 times",
        "a program called 192.0.2.1:123 by UDP",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("passwd: files\nhosts:  files resolve [!UNAVAIL=return] dns\n", "passwd: files\nhosts: files dns\n"),
        ("passwd: files\n", "passwd: files\nhosts: files dns\n"),
    ],
)
def test_names_come_from_no_daemon(text, expected):
    assert hosts_by_dns(text) == expected


def test_a_place_may_be_an_address():
    place = relay.place_of("[::1]:443")
    assert (place.host, place.port, place.addresses) == ("::1", 443, [ipaddress.ip_address("::1")])


def test_a_place_may_come_with_its_address():
    place = relay.place_of("Registry.Test:443=192.0.2.1")
    assert (place.host, place.port, place.addresses) == ("registry.test", 443, [ipaddress.ip_address("192.0.2.1")])
    with pytest.raises(EgressError, match="does not appear to be"):
        relay.place_of("registry.test:443=elsewhere")


@pytest.mark.parametrize("text", ["::1:443", "a b:1", "a.example:0", "a.example:65536", "a.example", "a.example:x"])
def test_another_spelling_of_a_place_is_refused(text):
    with pytest.raises(EgressError, match="it is not host:port"):
        relay.place_of(text)
