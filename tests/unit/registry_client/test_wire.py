# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Heads of answers, as servers and proxies write them, and requests that must not break out of their line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_wire as wire
from ansible_collections.homeport.registry.plugins.module_utils._registry_sending import ask
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers, PlainConnection
from ansible_collections.homeport.registry.plugins.modules import bundle_push


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    connection = PlainConnection("registry.example.com", 5000, timeout=5)
    connection.sock = ours
    yield connection, theirs
    ours.close()
    theirs.close()


def answer_of(pair, *pieces: bytes, method: str = "GET", close: bool = False):
    """Let the other side send pieces one after the other, and return the answer."""
    connection, theirs = pair

    def send() -> None:
        for piece in pieces:
            theirs.sendall(piece)
        if close:
            theirs.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return ask(connection, method, "/v2/", {"Accept": "a/b"})
    finally:
        sender.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_what_is_sent(pair):
    answer = answer_of(pair, OK)
    assert pair[1].recv(4096) == (
        b"GET /v2/ HTTP/1.1\r\nHost: registry.example.com:5000\r\nAccept-Encoding: identity\r\nAccept: a/b\r\n\r\n"
    )
    assert (answer.status, answer.read(), answer.will_close, answer.isclosed()) == (200, b"hi", False, True)


@pytest.mark.parametrize(("host", "port", "line"), [("::1", 5000, b"[::1]:5000"), ("a.example", 80, b"a.example")])
def test_how_the_host_is_written(host, port, line):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = PlainConnection(host, port)
        connection.sock = ours
        theirs.sendall(OK)
        ask(connection, "GET", "/", {})
        assert b"\r\nHost: " + line + b"\r\n" in theirs.recv(4096)


@pytest.mark.parametrize("cut", [1, 9, 17, 20, 37, 38])
def test_a_head_in_pieces(pair, cut):
    assert answer_of(pair, OK[:cut], OK[cut:]).read() == b"hi"


@pytest.mark.parametrize(
    ("sent", "body", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi", False),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi", False),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n", b"hi", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"hi", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\nno header\r\n\r\nhi", b"hi", False),
    ],
)
def test_how_a_body_ends(pair, sent, body, closes):
    answer = answer_of(pair, sent, close=True)
    assert (answer.read(), answer.will_close) == (body, closes)
    # A connection that will end is not kept.
    assert (pair[0].sock is None) is closes


def test_head_has_no_body(pair):
    answer = answer_of(pair, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", method="HEAD")
    assert (answer.read(), answer.headers.get("Content-Length"), answer.isclosed()) == (b"", "500", True)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", wire.HungUpError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", wire.WireError),
        (b"HTTP/2 200\r\n\r\n", wire.WireError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n", wire.WireError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\n" * 300 + b"\n", wire.WireError),
    ],
)
def test_what_is_no_answer(pair, sent, error):
    with pytest.raises(error):
        answer_of(pair, sent, close=True)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TORN = (b"", b"\r\n", b"x\r\n", b"-1\r\n", b"2", b"2\r\nh", b"2\r\nhi", b"2\r\nhi3\r\nabc\r\n0\r\n\r\n", b"2\r\nhi\r\n")


@pytest.mark.parametrize("body", [*TORN, b"0" * 70000, b"0\r\n" + b"X: y\r\n" * 300])
@pytest.mark.parametrize("size", [None, 1 << 20])
def test_chunks_that_break_off(pair, body, size):
    answer = answer_of(pair, CHUNKED + body, close=True)
    with pytest.raises(wire.WireError):
        answer.read(size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 100])
def test_chunks_in_pieces_of_any_size(pair, size):
    answer = answer_of(pair, CHUNKED + b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n" + OK)
    pieces = list(iter(lambda: answer.read(size), b""))
    assert [len(piece) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
    assert (b"".join(pieces), answer.isclosed()) == (b"abcde", True)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_body_of_known_length_in_pieces(pair, size):
    answer = answer_of(pair, OK + b"more")
    pieces = list(iter(lambda: answer.read(size), b""))
    assert (b"".join(pieces), answer.isclosed(), answer.length) == (b"hi", True, 0)


def test_a_body_that_breaks_off(pair):
    answer = answer_of(pair, OK[:-1], close=True)
    assert (answer.read(100), answer.length, answer.read(100), answer.isclosed()) == (b"h", 1, b"", True)


def test_a_whole_body_that_breaks_off(pair):
    answer = answer_of(pair, OK[:-1], close=True)
    with pytest.raises(wire.WireError, match="1 bytes came and 1 did not"):
        answer.read()


def test_no_host_breaks_out_of_its_line():
    with pytest.raises(wire.UnsendableError, match="control characters"):
        PlainConnection("a.example\r\nX: y", 80)


def test_a_push_without_tls_imports_neither_it_nor_what_reads_mail():
    program = "import sys\nfrom ansible.module_utils import basic\nbefore = set(sys.modules)\n"
    program += f"import {bundle_push.__name__}\nprint(*(set(sys.modules) - before))"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=path, capture_output=True, text=True, check=True)
    assert wire.__name__ in done.stdout.split()
    assert {"ssl", "http.client", "email.message", "email.utils"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v2/ HTTP/1.1\r\nX: y", {}),
        ("/a b", {}),
        ("/\x00", {}),
        ("/\u00fc", {}),
        ("/", {"A": "\u20ac"}),
        ("/", {"A": "b\r\nX: y"}),
        ("/", {"A\n": "b"}),
    ],
)
def test_nothing_breaks_out_of_its_line(pair, target, headers):
    with pytest.raises(wire.UnsendableError, match="control characters"):
        ask(pair[0], "GET", target, headers)
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_headers_by_any_case():
    headers = Headers("\r\nLink: <a>\r\nX-Long: one\r\n\ttwo\r\nLINK: <b>\r\nContent-Type: Text/Plain; charset=utf-8")
    assert headers.get("link") == "<a>"
    assert headers.get_all("Link") == ["<a>", "<b>"]
    assert headers.get("x-long") == "one two"
    assert headers.get("none") is None
    assert headers.get("none", "x") == "x"
    assert headers.get_all("none") is None
    assert headers.get_content_type() == "text/plain"
    assert "content-TYPE" in headers
    assert Headers("\r\nContent-Type: nonsense").get_content_type() == "text/plain"
    assert Headers("\r\nContent-Type: A/B+json").get_content_type() == "a/b+json"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\r\nA: b\r\nLength: 2", "2"),
        ("\r\nLENGTH:2\r\nA: b", "2"),
        ("\r\nLength: 2\r\nLength: 3", "2"),
        ("\r\nLength : 2", "2"),
        ("\r\nLength\t: 2", "2"),
        ("\r\nA: b\r\n Length: 3\r\nLength: 2", "2"),
        ("\r\nA: Length: 3\r\nLength: 2", "2"),
        ("\r\nLength: 2\r\n\tand 3", "2 and 3"),
        ("\r\nLength: 2\r\n and 3", "2 and 3"),
        ("\r\nLength:", ""),
        ("\r\nX-Length: 2", None),
        ("\r\nLength", None),
        ("", None),
    ],
)
def test_headers_as_they_are_written(text, value):
    headers = Headers(text)
    assert headers.get("length") == value
    assert ("Length" in headers) is (value is not None)
    assert (headers.get_all("Length") or [None])[0] == value
    # All have been read now.
    assert headers.get("length") == value
