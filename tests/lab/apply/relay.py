# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""A relay on loopback in front of the API server that records every request and can spoil some of them."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive", "host")


@dataclass(frozen=True)
class Seen:
    """One recorded request."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any

    @property
    def dry(self) -> bool:
        """Tell whether the server wrote nothing for this request, by the rules of the API documentation."""
        if self.method == "GET":
            return True
        if self.method == "DELETE" and self.body:
            return self.body.get("dryRun") == ["All"]
        return self.query.get("dryRun") == ["All"]


@dataclass(frozen=True)
class Spoiled:
    """An answer in place of the server's; status 0 closes the connection without one."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: Any = None
    # let the server do the work first, then lose its answer
    after: bool = False


class Relay:
    """Forwards plain HTTP on loopback to the API server of a kubeconfig, with its client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(item["context"] for item in config["contexts"] if item["name"] == config["current-context"])
        cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == context["cluster"])
        user = next(item["user"] for item in config["users"] if item["name"] == context["user"])
        self.upstream = urlsplit(cluster["server"])
        self.tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode(),
        )
        with tempfile.NamedTemporaryFile("wb") as pair:
            for key in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[key]) + b"\n")
            pair.flush()
            self.tls.load_cert_chain(pair.name)
        self.seen: list[Seen] = []
        self.spoil: Callable[[Seen], Spoiled | None] = lambda seen: None
        self.lock = threading.Lock()
        # seconds to hold back each answer, and the most requests that were under way together
        self.delay = 0.0
        self.running = self.peak = 0
        relay = self

        class Handler(_Handler):
            owner = relay

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Return the address of the relay."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig that leads through the relay."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "relay", "cluster": {"server": self.url}}],
            "users": [{"name": "relay", "user": {}}],
            "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
            "current-context": "relay",
        }

    def writes(self) -> list[Seen]:
        """Return the requests that made the server write."""
        return [seen for seen in self.seen if not seen.dry]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: Relay

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        pass

    def handle_any(self) -> None:
        with self.owner.lock:
            self.owner.running += 1
            self.owner.peak = max(self.owner.peak, self.owner.running)
        try:
            time.sleep(self.owner.delay)
            self._answer()
        finally:
            with self.owner.lock:
                self.owner.running -= 1

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(size)
        parts = urlsplit(self.path)
        seen = Seen(
            self.command,
            parts.path,
            parse_qs(parts.query),
            {name: ", ".join(self.headers.get_all(name) or ()) for name in self.headers},
            # other clients than ours speak protobuf
            json.loads(data) if data and "protobuf" not in self.headers.get("Content-Type", "") else None,
        )
        with self.owner.lock:
            self.owner.seen.append(seen)
            spoiled = self.owner.spoil(seen)
        if spoiled is not None and not spoiled.after:
            self._spoil(spoiled)
            return
        upstream = http.client.HTTPSConnection(
            self.owner.upstream.hostname or "", self.owner.upstream.port, context=self.owner.tls
        )
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            upstream.request(self.command, self.path, body=data or None, headers=headers)
            response = upstream.getresponse()
            if spoiled is not None:
                response.read()
                self._spoil(spoiled)
                return
            self._forward(response)
        finally:
            upstream.close()

    def _forward(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        if response.status in (204, 304):
            self.end_headers()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := response.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _spoil(self, spoiled: Spoiled) -> None:
        if spoiled.status == 0:
            self.close_connection = True
            self.connection.shutdown(2)
            return
        data = json.dumps(spoiled.body).encode()
        self.send_response(spoiled.status)
        for name, value in spoiled.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any
