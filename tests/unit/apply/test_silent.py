# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""What stands where the Kubernetes API should: pages of something else, and watches that nothing comes from."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _apply_wait as waiting
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Reference
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, Unreachable
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import KNOWN
from tests.unit.apply.access import access_to

PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title><body>Please <b>sign in</b></body></html>"
Reply = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def client_of() -> Iterator[Callable[[Reply], ApiClient]]:
    """Return a maker of a client for a server that answers each request by a function."""
    servers: list[ThreadingHTTPServer] = []

    def make(reply: Reply) -> ApiClient:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply(self)

            do_GET = do_PATCH = do_POST = do_DELETE = answer

            def log_message(self, *_details: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return ApiClient(access_to(f"http://127.0.0.1:{server.server_port}"), connections=2, read_only=False)

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def say(handler: BaseHTTPRequestHandler, body: bytes, kind: str = "application/json") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("body", "shown"),
    [(PAGE, "Sign in Please sign in"), (b"", "nothing"), (b"[1]", "[1]"), (b'{"kind": "Po', '{"kind"')],
)
@pytest.mark.parametrize("ask", ["find", "apply", "list"])
def test_what_is_no_kubernetes_api_is_called_that(client_of: Any, ask: str, body: bytes, shown: str) -> None:
    client = client_of(lambda handler: say(handler, body, "text/html"))
    asking = {
        "find": lambda: client.find("/api/v1/namespaces/a"),
        "apply": lambda: client.apply("/api/v1/namespaces/a", {}, {"kind": "Namespace"}),
        "list": lambda: client.list_metadata("/api/v1/namespaces", {}),
    }
    with pytest.raises(Unreachable) as caught:
        asking[ask]()
    assert "what answers at a test is not the Kubernetes API" in str(caught.value)
    assert shown in str(caught.value)


def test_logs_may_be_any_text(client_of: Any) -> None:
    assert client_of(lambda handler: say(handler, b"a line\n", "text/plain")).text("/log", {}) == "a line\n"


def test_a_watch_that_has_died_in_silence_does_not_use_up_the_time(
    client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WATCH_SECONDS", 1.0, raising=False)
    lists: list[float] = []
    over = threading.Event()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if "watch=true" in handler.path:
            # As after a load balancer that has forgotten the connection.
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.flush()
            over.wait(60)
            return
        lists.append(time.monotonic())
        found = {"metadata": {"resourceVersion": "7"}, "items": [deployment(available=len(lists) - 1)]}
        say(handler, json.dumps(found).encode())

    def deployment(available: int) -> dict[str, Any]:
        counts = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": available}
        status = {"observedGeneration": 1, **counts}
        return {"metadata": {"name": "a", "generation": 1}, "spec": {"replicas": 1}, "status": status}

    reference = Reference(KNOWN["apps/v1", "Deployment"], "b", "a")
    begun = time.monotonic()
    assert waiting.wait_ready(client_of(reply), [(reference, deployment(0))], 20) == []
    over.set()
    assert time.monotonic() - begun < 15
