# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that keep silent, stop half-way, drip, or answer nonsense: bounded in time, and said so."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import Question, ask_ahead
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import TruncatedError, UnreachableError
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

from .conftest import Reply, Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
OK = HEAD % 2 + b"hi"
Behave = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def serving(behave: Behave) -> Iterator[tuple[str, list[float]]]:
    """Run a server that does as told with each connection; yield its address and when connections came."""
    over, seen = threading.Event(), list[float]()

    def one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            behave(sock, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _address = listener.accept()
                seen.append(time.monotonic())
                threading.Thread(target=one, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()


def silent(sock: socket.socket, over: threading.Event) -> None:
    over.wait()


def dripping(first: bytes, then: bytes = b"X", pause: float = 0.05) -> Behave:
    """Return what sends the first bytes at once and then, for ten seconds, one piece now and then."""

    def behave(sock: socket.socket, over: threading.Event) -> None:
        sock.recv(65536)
        sock.sendall(first)
        until = time.monotonic() + 10
        while not over.wait(pause) and time.monotonic() < until:
            sock.sendall(then)

    return behave


def saying(answer: bytes) -> Behave:
    """Return what sends this to whatever comes, and keeps the connection."""

    def behave(sock: socket.socket, over: threading.Event) -> None:
        while sock.recv(65536):
            sock.sendall(answer)

    return behave


@contextlib.contextmanager
def asking(behave: Behave) -> Iterator[tuple[Transport, str]]:
    """Yield an impatient client, and the address of a server that does as told."""
    with serving(behave) as (url, _seen):
        transport = Transport(timeout=0.4, attempts=1)
        yield transport, url
        transport.close()


@pytest.mark.parametrize(
    "behave",
    [
        dripping(b""),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        dripping(HEAD % 100_000),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nX\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=["status", "head", "body", "chunks", "endless"],
)
def test_what_drips_is_given_up(behave):
    begun = time.monotonic()
    with (
        asking(behave) as (transport, url),
        pytest.raises(UnreachableError, match=r"only \d+ bytes came in 0.4 seconds"),
    ):
        transport.request("GET", f"{url}/v2/").read()
    assert time.monotonic() - begun < 5


def test_what_drips_is_given_up_when_asked_ahead_too():
    begun = time.monotonic()
    questions = [Question("/v2/a", "", {})]
    asked: list[Question] = []
    with asking(dripping(HEAD % 100_000)) as (transport, url):
        ask_ahead(
            Session(transport, url),
            questions,
            1,
            question=lambda item: item,
            use=lambda item, status, headers, body: [],
            otherwise=asked.append,
        )
    # The ordinary way says what is wrong.
    assert asked == questions
    assert time.monotonic() - begun < 5


def test_what_is_slow_goes_on():
    # More than a kilobyte in each of such times, though all of it takes several.
    with asking(dripping(HEAD % 40_000, b"x" * 1000)) as (transport, url):
        assert len(transport.request("GET", f"{url}/v2/").read()) == 40_000


def test_a_body_that_stops_half_way_says_so():
    with (
        asking(saying(HEAD % 100 + b"x" * 40)) as (transport, url),
        pytest.raises(TruncatedError, match="it began and then stopped, no answer in time"),
    ):
        transport.request("GET", f"{url}/v2/").read()


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: \xb2",
        b"Retry-After: \xb2\r\nContent-Length: 2",
        b"Content-Length: " + b"9" * 5000,
        b"Retry-After: Mon, 01 Jan 2020 00:00:00 +99999999999999\r\nContent-Length: 2",
    ],
    ids=["length", "pause", "digits", "date"],
)
def test_numbers_that_are_none(headers):
    answer = b"HTTP/1.1 503 Away\r\nConnection: close\r\n" + headers + b"\r\n\r\nhi"
    with asking(saying(answer)) as (transport, url):
        assert transport.request("GET", f"{url}/v2/").status == 503


def test_a_silent_token_service_is_waited_for_once(server):
    def challenge(request: Request) -> Reply:
        return Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}/token",service="r"'})

    server.reply = challenge
    begun = time.monotonic()
    with serving(silent) as (realm, seen):
        transport = Transport(timeout=3, attempts=1)
        session = Session(transport, server.url, "user", "word")
        with pytest.raises(UnreachableError, match="/token"):
            in_parallel(
                lambda name: session.request("look", "GET", name, scope=name, expect=(200,)).close(),
                [f"/v2/{number}" for number in range(8)],
                8,
            )
        transport.close()
    # One after the other they would need 24 seconds.
    assert time.monotonic() - begun < 9
    assert len(seen) <= 2


@contextlib.contextmanager
def nobody_answers(host: str = "127.0.0.1") -> Iterator[int]:
    """Yield a port on which a connection is neither made nor refused, as at a machine that is off."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind((host, 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def test_a_dead_address_is_passed_by(resolving):
    with serving(saying(OK)) as (url, _seen), nobody_answers() as dead:
        resolving(("127.0.0.1", dead), ("127.0.0.1", int(url.rpartition(":")[2])))
        begun = time.monotonic()
        transport = Transport(timeout=10, attempts=1)
        assert transport.request("GET", "http://registry.test/v2/").read() == b"hi"
        assert time.monotonic() - begun < 2
        transport.close()


def test_all_addresses_together_have_the_time_of_one(resolving):
    with nobody_answers("0.0.0.0") as dead:
        resolving(*[(f"127.0.0.{number}", dead) for number in range(1, 7)])
        begun = time.monotonic()
        with pytest.raises(UnreachableError, match="no answer in time"):
            Transport(timeout=1, attempts=1).request("GET", "http://registry.test/v2/")
        assert time.monotonic() - begun < 2


def test_a_refusal_leads_to_the_next_address_at_once(resolving):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()[1]
    with serving(saying(OK)) as (url, _seen):
        resolving(("127.0.0.1", closed), ("127.0.0.1", int(url.rpartition(":")[2])))
        transport = Transport(timeout=10, attempts=1)
        begun = time.monotonic()
        assert transport.request("GET", "http://registry.test/v2/").read() == b"hi"
        assert time.monotonic() - begun < 0.2
        transport.close()
    resolving(("127.0.0.1", closed), ("127.0.0.1", closed))
    with pytest.raises(UnreachableError, match="nothing listens there"):
        Transport(timeout=1, attempts=1).request("GET", "http://registry.test/v2/")
