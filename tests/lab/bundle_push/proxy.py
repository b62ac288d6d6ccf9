# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy on loopback that does to uploads what networks and other proxies do."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

_PIECE = 64 << 10


class Proxy:
    """Passes requests on to a port of this machine, one connection there for each one here.

    rate: bytes a second of all uploads. cut_after: bytes of bodies after which a connection dies. limit: larger bodies
    get 413. swallow: bodies are read and never answered. no_mounts: what asks for a mount opens an upload instead.
    `uploaded` and `largest` tell the bytes of bodies that went through, and of the largest body; `refused` how often
    the registry was said to be busy.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._busy = (0.0, 0, True)
        self.rate: int | None = None
        self.cut_after: int | None = None
        self.limit: int | None = None
        self.swallow = False
        self.no_mounts = False
        self.uploaded = 0
        self.largest = 0
        self.refused = 0
        self._cuts = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def busy(self, seconds: float, retry_after: int, *, reads: bool = True) -> None:
        """Answer everything that writes, and reads too unless told otherwise, with 503; uploads under way break."""
        self._busy = (time.monotonic() + seconds, retry_after, not reads)
        self._cuts += 1

    def stop(self) -> None:
        """Stop listening and hang up."""
        self._stopped.set()
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        try:
            with contextlib.suppress(OSError, ValueError), client, client.makefile("rb") as stream:
                server = None
                left = self.cut_after
                while head := _head(stream):
                    if server is None:
                        server = socket.create_connection(("127.0.0.1", self._port))
                    left = self._exchange(client, stream, server, head, left)
                    if left is not None and left <= 0:
                        return
        finally:
            with self._lock:
                self._open.discard(client)

    def _exchange(self, client, stream, server, head, left):
        """Pass one request and its answer on; return how many bytes the connection still lives for."""
        size = _length(head)
        method = head.split(b" ", 1)[0]
        until, retry_after, only_writes = self._busy
        if time.monotonic() < until and (not only_writes or method not in (b"GET", b"HEAD")):
            self.refused += 1
            self._refuse(client, b"503 Service Unavailable", f"Retry-After: {retry_after}\r\n".encode())
        if self.limit is not None and size > self.limit:
            self._refuse(client, b"413 Request Entity Too Large")
        self.largest = max(self.largest, size)
        if self.swallow and size > _PIECE:
            while stream.read(_PIECE):
                pass
        if self.no_mounts:
            head = re.sub(rb"^(POST [^ ?]+/uploads/)\?mount=[^ ]*", rb"\1", head)
        server.sendall(head)
        cuts = self._cuts
        for piece in _pieces(stream, size):
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    raise ValueError("this connection dies")
            if cuts != self._cuts:
                # With unread data the client is told at once; after a mere shutdown it would wait for a window.
                raise ValueError("what is behind went away")
            if rate := self.rate:
                with self._lock:
                    time.sleep(len(piece) / rate)
            server.sendall(piece)
            with self._lock:
                self.uploaded += len(piece)
        with server.makefile("rb") as answers:
            answer = _head(answers)
            if not answer:
                raise ValueError("the registry hung up")
            client.sendall(answer)
            bodiless = method == b"HEAD" or answer.split(b" ", 2)[1] in (b"204", b"304")
            for piece in _pieces(answers, 0 if bodiless else _length(answer)):
                client.sendall(piece)
        return left

    @staticmethod
    def _refuse(client: socket.socket, status: bytes, headers: bytes = b"") -> None:
        client.sendall(b"HTTP/1.1 " + status + b"\r\n" + headers + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        # What comes in after the answer would reset the connection and take the answer with it.
        client.shutdown(socket.SHUT_WR)
        client.settimeout(0.5)
        with contextlib.suppress(OSError):
            while client.recv(_PIECE):
                pass
        raise ValueError("refused")


def _head(stream) -> bytes:
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _colon, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _pieces(stream, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, _PIECE))
        if not piece:
            raise ValueError("it ended too early")
        yield piece
        size -= len(piece)
