# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The method router in front of a reader and a writer, as small as the tests need it."""

from __future__ import annotations

import http.client
import threading
import typing as t
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UNAVAILABLE = b'{"errors":[{"code":"UNAVAILABLE","message":"the writer is away","detail":null}]}'
_KEPT = ("Authorization", "Content-Type", "Content-Range", "Accept", "Range")


class Gate:
    """Sends reads to one port and writes to another; without a writer it answers 503 and Retry-After."""

    def __init__(self, reader: int, writer: int | None) -> None:
        self.reader = reader
        self.writer = writer
        self.seen: list[tuple[str, str]] = []
        # A method that is not let through.
        self.refuse = ""
        # What becomes of a body on its way out, by path.
        self.alter: Callable[[str, bytes], bytes] = lambda path, content: content
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def route(self) -> None:
                gate.seen.append((self.command, self.path))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reading = self.command in ("GET", "HEAD") and "/blobs/uploads/" not in self.path
                port = gate.reader if reading else gate.writer
                if gate.refuse == self.command:
                    self._send(405, {}, b"not through here")
                    return
                if port is None:
                    self._send(503, {"Retry-After": "30", "Content-Type": "application/json"}, UNAVAILABLE)
                    return
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                headers = {name: self.headers[name] for name in _KEPT if name in self.headers}
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                content = gate.alter(self.path, response.read())
                self._send(response.status, dict(response.getheaders()), content)
                connection.close()

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                length = headers.pop("Content-Length", str(len(body)))
                for name, value in headers.items():
                    if name not in ("Transfer-Encoding", "Connection", "Date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = route

            def log_message(self, *details: t.Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
