# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scripted server on loopback, for what a real registry does only when something breaks."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import typing as t
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport


@dataclasses.dataclass
class Request:
    """What arrived, and on which connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


@dataclasses.dataclass
class Reply:
    """What to send back; `hang_up` closes the connection without any answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    hang_up: bool = False
    length: int | None = None


class Script:
    """A server that answers with `reply(request)` and keeps what it saw."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply: Callable[[Request], Reply] = lambda request: Reply()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body go out in two pieces.
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body, self.client_address)
                script.requests.append(request)
                reply = script.reply(request)
                self.close_connection = reply.hang_up or reply.length is not None
                if reply.hang_up:
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
                self.end_headers()
                if self.command != "HEAD":
                    # A client may hang up in the middle of an answer.
                    with contextlib.suppress(ConnectionError):
                        self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *details: t.Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def replies(self, *replies: Reply) -> None:
        """Answer with these in turn, and with the last one from then on."""
        queue = list(replies)
        self.reply = lambda request: queue.pop(0) if len(queue) > 1 else queue[0]

    def seen(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()
    yield script
    script.stop()


@pytest.fixture
def other_server() -> Iterator[Script]:
    script = Script()
    yield script
    script.stop()


@pytest.fixture
def pauses() -> list[float]:
    """The waits that a transport asked for."""
    return []


@pytest.fixture
def transport(pauses: list[float]) -> Iterator[Transport]:
    made = Transport(timeout=5, sleep=pauses.append)
    yield made
    made.close()
