# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Asking ahead: very many small questions on few connections, the next sent before the last is answered. Private.

Waiting for each answer costs more than the answers: the server has nothing to do until the next question comes, and
both sides wake up for each. Only plain answers are taken here, whole ones of a known length on a connection that goes
on. For every other, from an error to a connection that breaks, the caller asks again in the ordinary way, which is
where repeating, redirects, logging in and the words of errors are; if that happens again and again, it does so at once.
"""

from __future__ import annotations

import collections
import itertools
import threading
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._registry_http import OWN_HEADERS, Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import target_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_pace import Pace
from ansible_collections.homeport.registry.plugins.module_utils._registry_sending import lines_of, start_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import is_broken
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import (
    Headers,
    HungUpError,
    WireError,
    read_head,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import share

Item = t.TypeVar("Item")

# One interpreter reads all answers: more connections than these only make its threads wait for each other.
_LINES = 4
# Questions on the way on one connection, and their bytes: what a server takes in while nobody reads its answers.
_AHEAD = 16
_BYTES = 32 << 10
_READ = 64 << 10
_HEAD = 64 << 10
_BODY = 1 << 20
# How many more answers that are not plain than plain ones it takes until no more is asked ahead.
_PATIENCE = 4


class Question(t.NamedTuple):
    """What is asked with GET: a path below the registry's address, the right that is needed, and headers."""

    path: str
    scope: str
    headers: Mapping[str, str]


class Plain(t.NamedTuple):
    """A whole answer of a known length, on a connection that goes on or ends with it."""

    status: int
    headers: Headers
    body: bytes


def ask_ahead(
    session: Session,
    items: Iterable[Item],
    threads: int,
    *,
    question: Callable[[Item], Question | None],
    use: Callable[[Item, int, Headers, bytes], Iterable[Item] | None],
    otherwise: Callable[[Item], object],
) -> None:
    """Ask a question for every item; nothing is kept for an item. Errors end all of it, as in `share`.

    Args:
        session: whose registry is asked.
        items: taken one by one, by one thread at a time.
        threads: connections to use at once, at least 1; fewer do while all answers are plain.
        question: returns what to ask, or nothing for what is to be asked in the ordinary way.
        use: gets the status, whatever it is, the headers and the body of a plain answer, and returns what is to be
            asked on account of it, or nothing when it is to be asked again in the ordinary way.
        otherwise: asks for an item in the ordinary way and does all that is to be done.
    """
    numbers = itertools.count()
    all_wanted = threading.Event()

    def work(mine: Iterator[Item]) -> None:
        if next(numbers) >= _LINES:
            all_wanted.wait()
            for item in mine:
                otherwise(item)
            return
        try:
            _Asker(session, mine, question, use, otherwise, all_wanted).run()
        finally:
            all_wanted.set()

    share(work, items, threads)


class _Asker(t.Generic[Item]):
    """One thread's questions, on one connection after the other."""

    def __init__(
        self,
        session: Session,
        items: Iterator[Item],
        question: Callable[[Item], Question | None],
        use: Callable[[Item, int, Headers, bytes], Iterable[Item] | None],
        otherwise: Callable[[Item], object],
        all_wanted: threading.Event,
    ) -> None:
        self._session = session
        self._items = items
        self._question = question
        self._use = use
        self._otherwise = otherwise
        self._all_wanted = all_wanted
        self._new: list[Item] = []
        self._line: Line | None = None
        # Not answered yet, each with its address and when it was sent, and the bytes of all.
        self._asked: collections.deque[tuple[Item, str, float, int]] = collections.deque()
        self._bytes = 0
        # Requests by a proxy are left to the ordinary way.
        self._patience = 0 if session.transport.by_proxy(session.base) else _PATIENCE

    def run(self) -> None:
        """Ask until there is nothing more to ask."""
        if not self._patience:
            self._all_wanted.set()
        try:
            while True:
                if len(self._asked) <= _AHEAD // 2:
                    self._ask()
                if not self._asked:
                    break
                self._hear()
        finally:
            if self._line:
                self._line.leave(whole=not self._asked)

    def _ask(self) -> None:
        """Send as many questions as may be on the way."""
        requests = []
        while len(self._asked) < _AHEAD and self._bytes < _BYTES and (self._patience or not self._asked):
            try:
                item = self._new.pop() if self._new else next(self._items)
            except StopIteration:
                break
            request = self._request(item) if self._patience else None
            if request is None:
                self._otherwise(item)
            else:
                requests.append(request)
        if requests and self._line:
            try:
                self._line.send(b"".join(requests))
            except (OSError, WireError) as exc:
                self._give_up(exc)

    def _request(self, item: Item) -> bytes | None:
        """Return the request for an item and expect its answer; nothing if it has to be asked in the ordinary way."""
        question = self._question(item)
        if question is None:
            return None
        authorization = self._session.auth.header(question.scope)
        if authorization is None and self._session.auth.challenged:
            return None
        if self._line is None:
            self._line = Line(self._session)
        url = self._session.base + question.path
        request = self._line.request(url, question.headers, authorization)
        self._asked.append((item, url, time.monotonic(), len(request)))
        self._bytes += len(request)
        return request

    def _hear(self) -> None:
        """Take the next answer."""
        try:
            answer = self._line.hear() if self._line else None
        except (OSError, WireError) as exc:
            self._give_up(exc)
            return
        if answer is None:
            self._give_up()
            return
        item, url, began, size = self._asked.popleft()
        self._bytes -= size
        if self._session.transport.observer:
            self._session.transport.observer(Exchange("GET", url, answer.status, time.monotonic() - began))
        more = self._use(item, answer.status, answer.headers, answer.body)
        if more is None:
            self._lose_patience()
            self._otherwise(item)
        else:
            if 0 < self._patience < _PATIENCE:
                self._patience += 1
            self._new += more

    def _lose_patience(self, left: int | None = None) -> None:
        """Count an answer that is not plain; those who wait in the ordinary way need every connection."""
        self._patience = max(self._patience - 1, 0) if left is None else left
        if not self._patience:
            self._all_wanted.set()

    def _give_up(self, error: Exception | None = None) -> None:
        """Leave the connection, and ask in the ordinary way for what it has not answered."""
        line, self._line = self._line, None
        asked = [item for item, _url, _began, _size in self._asked]
        self._asked.clear()
        self._bytes = 0
        if line:
            line.leave(whole=False)
            if line.unheard and is_broken(error):
                # The server had closed it meanwhile, which says nothing about asking ahead.
                self._new += reversed(asked)
                return
        # Who answers one question and forgets the others would let us wait each time.
        self._lose_patience(0 if isinstance(error, TimeoutError) else None)
        for item in asked:
            self._otherwise(item)


class Line:
    """A connection on which several requests are on the way."""

    def __init__(self, session: Session) -> None:
        """Take a connection; it is made, if it is a new one, with the first request."""
        self._transport = session.transport
        self._origin = session.origin
        self._connection, self._used = self._transport.take(self._origin)
        self._buffer = b""
        self._pace = Pace(self._transport.timeout)
        self._ended = False
        self._answered = False
        # What follows the first line, which is the same for very many, and what it was made of.
        self._lines = ""
        self._made_of: tuple[Mapping[str, str], str | None] | None = None

    @property
    def unheard(self) -> bool:
        """Whether it was used by others before, and nothing has come since."""
        return self._used and not self._answered and not self._buffer

    def request(self, url: str, headers: Mapping[str, str], authorization: str | None) -> bytes:
        """Return the bytes of a GET."""
        if self._made_of != (headers, authorization):
            self._made_of = (headers, authorization)
            own = {"Authorization": authorization} if authorization else {}
            self._lines = lines_of(self._connection, {**OWN_HEADERS, **headers, **own})
        return (start_of(self._connection, "GET", target_of(url)) + self._lines).encode("iso-8859-1")

    def send(self, requests: bytes) -> None:
        """Send whole requests.

        Raises:
            OSError, WireError: when they cannot be sent.
        """
        if self._connection.sock is None:
            self._connection.connect()
        self._connection.sock.sendall(requests)

    def hear(self) -> Plain | None:
        """Return the next answer; nothing when it is not a plain one.

        Raises:
            OSError, WireError: when none comes.
        """
        if self._ended:
            return None
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            self._pace = Pace(self._transport.timeout)
        while end < 0:
            if len(self._buffer) > _HEAD:
                return None
            self._receive()
            end = self._buffer.find(b"\r\n\r\n")
        head = read_head(self._buffer[:end].decode("iso-8859-1"), "GET")
        if head.length is None or head.length > _BODY or head.status < 200:
            return None
        begin = end + 4
        end = begin + head.length
        self._receive(end - len(self._buffer))
        body = self._buffer[begin:end]
        self._buffer = self._buffer[end:]
        self._ended = head.closes
        self._answered = True
        return Plain(head.status, head.headers, body)

    def _receive(self, missing: int = 1) -> None:
        """Read at least so many bytes."""
        if missing <= 0:
            return
        pieces = [self._buffer]
        while missing > 0:
            began = time.monotonic()
            piece = self._connection.sock.recv(_READ)
            if not piece:
                raise HungUpError("the server hung up")
            self._pace.note(len(piece), time.monotonic() - began)
            pieces.append(piece)
            missing -= len(piece)
        self._buffer = b"".join(pieces)

    def leave(self, *, whole: bool) -> None:
        """Give the connection back; `whole` tells that every request was answered."""
        self._transport.give_back(self._origin, self._connection, whole and not self._buffer and not self._ended)
