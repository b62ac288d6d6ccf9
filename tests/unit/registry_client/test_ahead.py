# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking ahead: what is taken at once, and what is asked again in the ordinary way."""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import Question, ask_ahead
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError, UnreachableError
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_proxy import Proxies
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

NUMBERS = list(range(40))
# Instead of an answer.
HANG_UP = b"<hang up>"


def plain(body: str, *more: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode("iso-8859-1")


class Raw:
    """A server that answers each request with the bytes of `reply(path, connection, how many came there before)`.

    `most` holds how many requests waited at once on a connection.
    """

    def __init__(self) -> None:
        self.reply: Callable[[str, int, int], bytes] = lambda path, connection, number: plain(path)
        self.paths: list[str] = []
        self.heads: list[str] = []
        self.connections = 0
        self.most = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _address = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.append(sock)
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, connection: int) -> None:
        waiting, number = b"", 0
        with sock, contextlib.suppress(OSError):
            while piece := sock.recv(1 << 20):
                waiting += piece
                self.most = max(self.most, waiting.count(b"\r\n\r\n"))
                while b"\r\n\r\n" in waiting:
                    head, _end, waiting = waiting.partition(b"\r\n\r\n")
                    self.heads.append(head.decode())
                    path = head.split(b" ")[1].decode()
                    self.paths.append(path)
                    answer = self.reply(path, connection, number)
                    number += 1
                    if answer != HANG_UP:
                        sock.sendall(answer)
                    if answer == HANG_UP or b"\r\nConnection: close" in answer or answer.endswith(b"<cut>"):
                        sock.shutdown(socket.SHUT_WR)
                        return

    def stop(self) -> None:
        # Closing alone does not wake up who waits for it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def raw() -> Iterator[Raw]:
    made = Raw()
    yield made
    made.stop()


class Asked:
    """Asks for numbers, and keeps which of them came plainly and which in the ordinary way."""

    def __init__(self, url: str, **options: t.Any) -> None:
        self.transport = Transport(timeout=5, sleep=lambda seconds: None, **options)
        self.session = Session(self.transport, url)
        self.plainly: list[tuple[int, str]] = []
        self.ordinary: list[int] = []
        self.bodies: dict[int, str] = {}
        self.scope: Callable[[int], str] = lambda number: ""

    def ask(self, numbers: list[int], threads: int = 1, more: Callable[[int], list[int]] = lambda number: []) -> None:
        def use(number: int, status: int, headers: t.Any, body: bytes) -> list[int] | None:
            if status != 200 or body == b"wrong":
                return None
            self.plainly.append((number, body.decode()))
            self.bodies[number] = body.decode()
            return more(number)

        def otherwise(number: int) -> None:
            self.ordinary.append(number)
            scope = self.scope(number)
            with self.session.request("ask", "GET", f"/{number}", scope=scope, expect=(200,)) as response:
                self.bodies[number] = response.read().decode()

        def question(number: int) -> Question | None:
            return Question(f"/{number}", self.scope(number), {"Accept": "a/b"}) if number >= 0 else None

        ask_ahead(self.session, numbers, threads, question=question, use=use, otherwise=otherwise)


@pytest.fixture
def asked(raw: Raw) -> Iterator[Asked]:
    made = Asked(raw.url)
    yield made
    made.transport.close()


def everything(numbers: list[int]) -> dict[int, str]:
    return {number: f"/{number}" for number in numbers}


def test_questions_go_ahead_on_one_connection(raw, asked):
    asked.ask(NUMBERS)
    assert asked.plainly == [(number, f"/{number}") for number in NUMBERS]
    assert (raw.connections, asked.ordinary, raw.most) == (1, [], 16)
    lines = raw.heads[0].split("\r\n")
    assert lines[0] == "GET /0 HTTP/1.1"
    assert set(lines[1:]) == {
        f"Host: {raw.url[7:]}",
        "Accept-Encoding: identity",
        "User-Agent: homeport.registry",
        "Accept: a/b",
    }
    # The connection is there for whoever comes next.
    asked.session.request("ask", "GET", "/last", scope="", expect=(200,)).close()
    assert raw.connections == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_what_an_answer_brings_up_is_asked_too(raw, asked, threads):
    asked.ask(NUMBERS, threads, more=lambda number: [number + 100, number + 200] if number < 100 else [])
    wanted = [number + more for number in NUMBERS for more in (0, 100, 200)]
    assert asked.bodies == everything(wanted)
    assert sorted(raw.paths) == sorted(f"/{number}" for number in wanted)
    assert raw.connections <= threads


def test_an_answer_in_pieces(raw, asked):
    whole = b"".join(plain(f"/{number}") for number in range(16))
    # Heads and bodies cut anywhere.
    pieces = iter([whole[at : at + 7] for at in range(0, len(whole), 7)])
    raw.reply = lambda path, connection, number: next(pieces) if number < 15 else b"".join(pieces)
    asked.ask(list(range(16)))
    assert asked.bodies == everything(list(range(16)))
    assert asked.ordinary == []


ODD = {
    "not found": plain("/7", status="404 Not Found"),
    "busy": plain("", "Retry-After: 1", status="503 Busy"),
    "moved": plain("", "Location: /elsewhere", status="307 Moved"),
    "other content": plain("wrong"),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/7\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n/7\r\n0\r\nX: y\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n/7",
    "version 1.0": b"HTTP/1.0 200 OK\r\n\r\n/7<cut>",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + plain("/7"),
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" + plain("/7"),
    "no content": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
    "truncated body": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n/7<cut>",
    "truncated head": b"HTTP/1.1 200 OK\r\nContent-Le<cut>",
    "too long a head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n/7",
    "too long a body": plain("x" * (2 << 20)),
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n/7",
    "no answer at all": b"SSH-2.0-OpenSSH\r\n\r\n",
    "hung up": HANG_UP,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_what_is_not_plain_is_asked_again(raw, asked, odd):
    first = threading.Event()

    def reply(path: str, connection: int, number: int) -> bytes:
        if path == "/7" and not first.is_set():
            first.set()
            return odd
        return plain(path)

    raw.reply = reply
    # A server that writes line feeds only sends no empty line that the other side waits for.
    asked.transport.timeout = 0.5 if b"\r\n\r\n" not in odd and odd != HANG_UP and b"<cut>" not in odd else 5
    asked.ask(NUMBERS)
    assert asked.bodies == everything(NUMBERS)
    assert 7 in asked.ordinary
    # All others that were on the way at most, and the rest goes ahead again.
    assert len(asked.ordinary) <= 16
    assert raw.paths.count("/7") == 2


@pytest.mark.parametrize(
    "last",
    [plain("/7", "Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/7"],
)
def test_the_last_answer_of_a_connection_counts(raw, asked, last):
    raw.reply = lambda path, connection, number: last if (path, connection) == ("/7", 1) else plain(path)
    asked.ask(NUMBERS)
    assert asked.bodies == everything(NUMBERS)
    assert raw.paths.count("/7") == 1
    assert 7 not in asked.ordinary


def test_folded_and_unusual_headers(raw, asked):
    raw.reply = lambda path, connection, number: (
        f"HTTP/1.1 200\r\nX: one\r\n\ttwo\r\nCONTENT-LENGTH :{len(path)}\r\nnone\r\n\r\n{path}".encode()
    )
    asked.ask(NUMBERS)
    assert (asked.bodies, asked.ordinary) == (everything(NUMBERS), [])


def test_a_server_without_plain_answers_is_soon_not_asked_ahead(raw, asked):
    raw.reply = lambda path, connection, number: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(path), path.encode())
    )
    asked.ask(list(range(200)))
    assert asked.bodies == everything(list(range(200)))
    assert len(raw.paths) <= 200 + 4 * 16


def test_plain_answers_need_few_connections(raw, asked):
    numbers = list(range(400))
    asked.ask(numbers, 8)
    assert asked.bodies == everything(numbers)
    assert 1 <= raw.connections <= 4


def test_answers_that_are_not_plain_get_every_connection(raw, asked):
    together = threading.Barrier(8, timeout=4)

    def chunked(path: str, connection: int, number: int) -> bytes:
        # Nobody gets an answer in the ordinary way until eight wait for one.
        if path in late:
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait()
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
            len(path),
            path.encode(),
        )

    # What comes after the answers by which the first threads have lost their patience.
    late = {f"/{number}" for number in range(600, 608)}
    raw.reply = chunked
    numbers = list(range(608))
    asked.ask(numbers, 8)
    assert asked.bodies == everything(numbers)
    assert not together.broken


def test_errors_of_the_ordinary_way_end_it(raw, asked):
    raw.reply = lambda path, connection, number: plain("", status="404 Not Found") if path == "/7" else plain(path)
    with pytest.raises(HttpError, match="404"):
        asked.ask(NUMBERS, 2)
    raw.stop()
    with pytest.raises(UnreachableError):
        asked.ask(NUMBERS, 2)


def test_a_connection_that_was_closed_while_idle_costs_nothing(raw, asked):
    raw.reply = lambda path, connection, number: HANG_UP if connection == 1 and number else plain(path)
    asked.session.request("ask", "GET", "/first", scope="", expect=(200,)).close()
    asked.ask(NUMBERS)
    assert (asked.bodies, asked.ordinary, raw.connections) == (everything(NUMBERS), [], 2)


def test_a_silent_server_is_left_in_time(raw, asked):
    asked.transport.timeout = 0.3
    raw.reply = lambda path, connection, number: b"HTTP/1.1 " if connection == 1 else plain(path)
    asked.ask(NUMBERS)
    assert asked.bodies == everything(NUMBERS)


def test_long_requests_are_not_sent_far_ahead(raw):
    asked = Asked(raw.url)
    long = {"Accept": "x" * 20_000}
    bodies: list[bytes] = []

    def use(number: int, status: int, headers: t.Any, body: bytes) -> list[int]:
        bodies.append(body)
        return []

    ask_ahead(
        asked.session,
        NUMBERS,
        1,
        question=lambda number: Question(f"/{number}", "", long),
        use=use,
        otherwise=lambda number: pytest.fail("a plain answer was asked for again"),
    )
    assert (len(bodies), raw.most) == (40, 2)
    asked.transport.close()


def test_what_needs_the_ordinary_way_does_not_go_ahead(raw):
    seen: list[Exchange] = []
    asked = Asked(raw.url, observer=seen.append)
    asked.ask([1, 2, 3])
    assert [(one.method, one.url, one.status) for one in seen] == [
        ("GET", f"{raw.url}/{number}", 200) for number in (1, 2, 3)
    ]
    assert all(one.seconds > 0 for one in seen)
    asked.transport.close()
    by_proxy = Asked("http://registry.example.com", proxies=Proxies({"http": raw.url}))
    raw.reply = lambda path, connection, number: plain(path.rpartition("/")[2])
    by_proxy.ask([1, 2])
    assert (by_proxy.ordinary, by_proxy.bodies) == ([1, 2], {1: "1", 2: "2"})
    by_proxy.transport.close()


def test_a_registry_that_wants_a_password(raw):
    def reply(path: str, connection: int, number: int) -> bytes:
        if "Authorization: Basic dTpw" in raw.heads[-1]:
            return plain(path)
        return plain("", 'WWW-Authenticate: Basic realm="x"', status="401 Unauthorized")

    raw.reply = reply
    asked = Asked(raw.url)
    asked.session = Session(asked.transport, raw.url, "u", "p")
    asked.ask(NUMBERS)
    assert asked.bodies == everything(NUMBERS)
    asked.bodies, asked.ordinary = {}, []
    asked.ask(NUMBERS)
    assert (asked.bodies, asked.ordinary) == (everything(NUMBERS), [])
    asked.transport.close()


def test_a_server_that_forgets_all_but_one_question_is_waited_for_once(raw, asked):
    asked.transport.timeout = 0.3
    raw.reply = lambda path, connection, number: plain(path) if connection > 1 or number == 0 else b""
    asked.ask(NUMBERS)
    assert asked.bodies == everything(NUMBERS)
    assert len(asked.plainly) == 1


@pytest.mark.parametrize("last", [plain("/2", "connection: Close"), plain("/2") + b"and more than that"])
def test_a_connection_that_is_not_clean_is_not_kept(raw, asked, last):
    raw.reply = lambda path, connection, number: last if (path, connection) == ("/2", 1) else plain(path)
    asked.ask([0, 1, 2])
    assert (asked.bodies, asked.ordinary, raw.connections) == (everything([0, 1, 2]), [], 1)
    with asked.session.request("ask", "GET", "/next", scope="", expect=(200,)) as response:
        assert response.read() == b"/next"
    assert raw.connections == 2


def test_what_lacks_a_token_gets_it_in_the_ordinary_way(raw):
    def reply(path: str, connection: int, number: int) -> bytes:
        if path.startswith("/token"):
            return plain('{"token": "x"}')
        if "Authorization: Bearer x" in raw.heads[-1]:
            return plain(path)
        return plain("", f'WWW-Authenticate: Bearer realm="{raw.url}/token"', status="401 Unauthorized")

    raw.reply = reply
    asked = Asked(raw.url)
    asked.scope = lambda number: f"repository:{number // 10}:pull"
    asked.session.request("log in", "GET", "/v2/", scope="", expect=(200,)).close()
    asked.ask(NUMBERS)
    assert asked.bodies == everything(NUMBERS)
    # Once without, once with, and all that follow in the repository at once.
    assert [raw.paths.count(f"/{number}") for number in range(20)] == ([2] + [1] * 9) * 2
    assert asked.ordinary == [0, 10, 20, 30]
    asked.transport.close()
