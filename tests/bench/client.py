# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that costs next to nothing: plain sockets, kept connections, bodies read and dropped.

It is the same for every contender; what it asks for must be answered with 200 or 201, or it stops.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

CHUNK = 1024 * 1024
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Endpoint:
    """A registry at an address, with the account to use."""

    host: str
    port: int
    user: str
    password: str

    @property
    def authorization(self) -> str:
        """Return the value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Connection:
    """One kept connection for GET and HEAD."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._buffer = bytearray(CHUNK)
        self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fetch(self, method: str, path: str) -> int:
        """Return the length of the answer's body, all of it read. Raises RuntimeError unless it is a 200."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._endpoint.host}:{self._endpoint.port}\r\n"
        head += f"Authorization: {self._endpoint.authorization}\r\nAccept: {MANIFEST}, */*\r\n\r\n"
        self._socket.sendall(head.encode())
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            got = self._socket.recv(65536)
            if not got:
                raise RuntimeError(f"{method} {path}: connection closed")
            received += got
        lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines[1:])}
        if lines[0].split()[1] != "200":
            raise RuntimeError(f"{method} {path}: {lines[0]}")
        length = int(headers["content-length"])
        if method == "HEAD":
            return 0
        left = length - (len(received) - end - 4)
        while left > 0:
            got_bytes = self._socket.recv_into(self._buffer, min(left, CHUNK))
            if not got_bytes:
                raise RuntimeError(f"{method} {path}: connection closed {left} bytes before the end")
            left -= got_bytes
        return length

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def throughput(endpoint: Endpoint, path: str, clients: int) -> float:
    """Let every client fetch the path once at the same time; return bytes per second of all together."""
    sizes = [0] * clients

    def fetch(position: int, connection: Connection) -> None:
        sizes[position] = connection.fetch("GET", path)

    seconds = _together(endpoint, clients, fetch)
    return sum(sizes) / seconds


def rate(endpoint: Endpoint, method: str, path: str, clients: int, seconds: float) -> float:
    """Let every client repeat the request for the given time; return requests per second of all together."""
    counts = [0] * clients
    until = time.perf_counter() + seconds

    def repeat(position: int, connection: Connection) -> None:
        while time.perf_counter() < until:
            connection.fetch(method, path)
            counts[position] += 1

    elapsed = _together(endpoint, clients, repeat)
    return sum(counts) / elapsed


def _together(endpoint: Endpoint, clients: int, work: Callable[[int, Connection], None]) -> float:
    """Run the work on as many connections at once; return the seconds until the last one ended."""
    connections = [Connection(endpoint) for _client in range(clients)]
    errors: list[Exception] = []

    def run(position: int) -> None:
        try:
            work(position, connections[position])
        except (OSError, RuntimeError) as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(position,)) for position in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    for connection in connections:
        connection.close()
    if errors:
        raise errors[0]
    return elapsed


def push_image(endpoint: Endpoint, repository: str, layer_size: int) -> tuple[str, str]:
    """Push an image of one random layer; return the paths of its manifest and of its layer."""
    layer = os.urandom(layer_size)
    config = b"{}"
    entries = [
        {"mediaType": media, "digest": _push_blob(endpoint, repository, body), "size": len(body)}
        for media, body in (
            ("application/vnd.oci.image.config.v1+json", config),
            ("application/vnd.oci.image.layer.v1.tar", layer),
        )
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": entries[0], "layers": entries[1:]}
    path = f"/v2/{repository}/manifests/latest"
    _send(endpoint, "PUT", path, json.dumps(manifest).encode(), MANIFEST)
    return path, f"/v2/{repository}/blobs/{entries[1]['digest']}"


def _push_blob(endpoint: Endpoint, repository: str, body: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    location = _send(endpoint, "POST", f"/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
    path = location if location.startswith("/") else "/" + location.split("/", 3)[3]
    glue = "&" if "?" in path else "?"
    _send(endpoint, "PUT", f"{path}{glue}digest={digest}", body, "application/octet-stream")
    return digest


def _send(endpoint: Endpoint, method: str, path: str, body: bytes, media_type: str) -> str:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=120)
    try:
        headers = {"Authorization": endpoint.authorization, "Content-Type": media_type}
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        words = answer.read()
        if answer.status not in (201, 202):
            raise RuntimeError(f"{method} {path}: {answer.status} {words[:300]!r}")
        return answer.headers["Location"] or ""
    finally:
        connection.close()
