# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections, retries and redirects, against a scripted server."""

from __future__ import annotations

import io
import socket
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    ProtocolError,
    TlsError,
    UnreachableError,
    UnsafeRequestError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body, Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

from .conftest import Reply


def get(transport, url, method="GET", **options):
    response = transport.request(method, url, **options)
    return response.status, response.read()


def connections(server) -> int:
    return len({request.client for request in server.requests})


def test_a_connection_is_kept(server, transport):
    server.replies(Reply(200, b"body"), Reply(404, b"none"), Reply(200), Reply(204))
    assert get(transport, server.url + "/a?x=1") == (200, b"body")
    assert get(transport, server.url + "/b") == (404, b"none")
    assert get(transport, server.url + "/c", "HEAD") == (200, b"")
    transport.request("GET", server.url + "/d").close()
    assert server.seen() == ["GET /a?x=1", "GET /b", "HEAD /c", "GET /d"]
    assert connections(server) == 1


def test_an_unread_answer_does_not_reach_the_next_request(server, transport):
    server.replies(Reply(200, b"x" * 1_000_000), Reply(200, b"second"))
    transport.request("GET", server.url + "/a").close()
    assert get(transport, server.url + "/b") == (200, b"second")


def test_threads_do_not_share_a_connection(server, transport):
    together = threading.Barrier(4, timeout=10)

    def reply(request):
        together.wait()
        return Reply(200, request.path.encode())

    server.reply = reply
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: get(transport, f"{server.url}/{n}"), range(40)))
    assert answers == [(200, f"/{n}".encode()) for n in range(40)]
    assert connections(server) == 4


def test_an_idle_connection_that_was_closed_costs_no_attempt(server, pauses):
    transport = Transport(timeout=5, attempts=1, sleep=pauses.append)
    server.replies(Reply(200, b"one"), Reply(hang_up=True), Reply(200, b"two"))
    assert get(transport, server.url) == (200, b"one")
    # The server hangs up on the kept connection, and the request is sent again on a new one.
    assert get(transport, server.url) == (200, b"two")
    assert pauses == []
    transport.close()


def test_a_request_that_must_not_be_repeated_goes_out_once(server, transport, pauses):
    server.replies(Reply(200), Reply(hang_up=True), Reply(200))
    get(transport, server.url)
    with pytest.raises(UnreachableError, match="the connection broke"):
        transport.request("PATCH", server.url, body=b"x", repeatable=False)
    assert server.seen() == ["GET /", "PATCH /"]
    assert pauses == []


def test_a_body_goes_out_where_the_last_answer_came_from(server, transport):
    server.replies(Reply(202), Reply(201))
    get(transport, server.url, "POST")
    body = Body(lambda: io.BytesIO(b"content"), 7)
    assert get(transport, server.url, "PUT", body=body, repeatable=False)[0] == 201
    assert server.requests[1].body == b"content"
    assert connections(server) == 1


def test_no_body_goes_out_where_the_server_has_hung_up(transport, pauses):
    """Nobody could tell whether the server had seen it, and it must not be sent twice."""
    answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    heads: list[bytes] = []
    hung_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve():
            for _number in range(2):
                connection, _address = listener.accept()
                with connection:
                    connection.settimeout(10)
                    heads.append(connection.recv(1 << 16))
                    connection.sendall(answer)
                hung_up.set()

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert get(transport, url, "POST")[0] == 202
        assert hung_up.wait(10)
        # The end of a connection on the same machine arrives at once, but not before it was sent.
        time.sleep(0.05)
        assert get(transport, url, "PATCH", body=b"x", repeatable=False)[0] == 202
        thread.join()
    assert [head.split()[0] for head in heads] == [b"POST", b"PATCH"]
    assert pauses == []


def test_no_body_goes_out_where_nothing_went_for_long(server, transport, monkeypatch):
    monkeypatch.setattr(_registry_transport, "_MOMENT", 0.0)
    get(transport, server.url)
    get(transport, server.url, "PATCH", body=b"x", repeatable=False)
    assert connections(server) == 2
    # The one that was left alone is still good for what may be repeated.
    monkeypatch.undo()
    with ThreadPoolExecutor(2) as pool:
        together = threading.Barrier(2, timeout=10)
        server.reply = lambda request: (together.wait(), Reply())[1]
        list(pool.map(lambda _number: get(transport, server.url), range(2)))
    assert connections(server) == 2


def test_a_lost_answer_is_asked_for_again(server, transport, pauses):
    server.replies(Reply(hang_up=True), Reply(hang_up=True), Reply(200, b"at last"))
    assert get(transport, server.url) == (200, b"at last")
    assert len(pauses) == 2
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


def test_attempts_are_bounded(server, transport, pauses):
    server.replies(Reply(hang_up=True))
    with pytest.raises(UnreachableError):
        transport.request("GET", server.url)
    assert len(server.requests) == 4
    assert len(pauses) == 3


@pytest.mark.parametrize(("method", "repeatable"), [("GET", True), ("POST", True), ("PATCH", False)])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept(server, transport, pauses, status, method, repeatable):
    server.replies(Reply(status, b"busy", {"Retry-After": "3"}), Reply(202, b"done"))
    body = None if method == "GET" else Body(lambda: io.BytesIO(b"content"), 7)
    assert get(transport, server.url, method, body=body, repeatable=repeatable) == (202, b"done")
    assert pauses == [3.0]
    assert [request.body for request in server.requests] == [b"" if body is None else b"content"] * 2


@pytest.mark.parametrize(("repeatable", "sent"), [(True, 4), (False, 1)])
def test_a_gateway_error_may_have_reached_the_server(server, transport, repeatable, sent):
    server.replies(Reply(502, b"bad gateway"))
    assert get(transport, server.url, "PUT", body=b"x", repeatable=repeatable) == (502, b"bad gateway")
    assert len(server.requests) == sent


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 405, 500])
def test_other_answers_are_not_repeated(server, transport, status):
    server.replies(Reply(status, b"x"))
    assert get(transport, server.url) == (status, b"x")
    assert len(server.requests) == 1


def test_patience_is_bounded(server, pauses):
    transport = Transport(timeout=5, patience=10, sleep=pauses.append)
    server.replies(Reply(503, b"", {"Retry-After": "6"}))
    assert get(transport, server.url)[0] == 503
    assert pauses == [6.0]
    transport.close()


def test_nothing_listens(transport, pauses):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(UnreachableError, match="nothing listens there"):
        transport.request("PATCH", url, body=b"x", repeatable=False)
    assert len(pauses) == 3


def slow(request):
    time.sleep(0.6)
    return Reply()


def test_no_answer_in_time(server):
    transport = Transport(timeout=0.2, attempts=1)
    server.reply = slow
    with pytest.raises(UnreachableError, match="no answer in time"):
        transport.request("GET", server.url)
    transport.close()


def test_a_short_body_is_noticed(server, transport):
    server.replies(Reply(200, b"half", length=8))
    with pytest.raises(UnreachableError, match="4 of 8 bytes"):
        transport.request("GET", server.url).read()


def test_a_long_body_is_not_read_into_memory(server, transport):
    server.replies(Reply(200, b"x" * 100))
    with pytest.raises(ProtocolError, match="longer than 10 bytes"):
        transport.request("GET", server.url).read(10)


def test_redirects_keep_credentials_on_the_same_server_only(server, other_server, transport):
    server.reply = lambda request: (
        Reply(307, b"", {"Location": "/moved"})
        if request.path == "/start"
        else Reply(302, b"", {"Location": other_server.url + "/stored?signature=x"})
    )
    other_server.replies(Reply(200, b"content"))
    assert get(transport, server.url + "/start", headers={"Authorization": "Basic eDp5", "Accept": "a/b"}) == (
        200,
        b"content",
    )
    assert [request.headers.get("authorization") for request in server.requests] == ["Basic eDp5"] * 2
    assert other_server.seen() == ["GET /stored?signature=x"]
    assert "authorization" not in other_server.requests[0].headers
    assert other_server.requests[0].headers["accept"] == "a/b"


def test_credentials_do_not_come_back_after_a_detour(server, other_server, transport):
    server.reply = lambda request: (
        Reply(302, b"", {"Location": other_server.url}) if request.path == "/start" else Reply(200, b"end")
    )
    other_server.replies(Reply(302, b"", {"Location": server.url + "/end"}))
    get(transport, server.url + "/start", headers={"Authorization": "Basic eDp5"})
    assert [request.headers.get("authorization") for request in server.requests] == ["Basic eDp5", None]


def test_a_redirect_does_not_leave_encryption(transport, monkeypatch):
    asked = []

    def exchange(method, url, *more):
        asked.append(url)
        headers = {"Location": "http://127.0.0.1:1/stored"}
        return types.SimpleNamespace(status=302, headers=headers, close=lambda: None)

    monkeypatch.setattr(transport, "_exchange", exchange)
    with pytest.raises(TlsError, match="not encrypted"):
        transport.request("GET", "https://127.0.0.1:1/v2/")
    assert asked == ["https://127.0.0.1:1/v2/"]


def test_a_redirect_that_cannot_be_asked_for(server, transport):
    server.replies(Reply(307, headers={"Location": "/a b"}))
    with pytest.raises(UnreachableError, match="must not hold spaces"):
        transport.request("GET", server.url)


def test_redirects_are_bounded(server, transport):
    server.replies(Reply(302, b"", {"Location": "/again"}))
    with pytest.raises(ProtocolError, match="more than 5"):
        transport.request("GET", server.url)
    assert len(server.requests) == 6


def test_a_write_is_not_sent_elsewhere(server, other_server, transport):
    server.replies(Reply(307, b"", {"Location": other_server.url}))
    assert get(transport, server.url, "PUT", body=b"x")[0] == 307
    assert other_server.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_read_only_transport_sends_no_write(server, method):
    transport = Transport(read_only=True)
    with pytest.raises(UnsafeRequestError, match="check mode"):
        transport.request(method, server.url)
    assert get(transport, server.url)[0] == 200
    assert get(transport, server.url, "HEAD")[0] == 200
    assert server.seen() == ["GET /", "HEAD /"]
    transport.close()


def test_the_observer_sees_every_exchange(server, pauses):
    seen: list[Exchange] = []
    transport = Transport(timeout=5, sleep=pauses.append, observer=seen.append)
    server.replies(Reply(503), Reply(200))
    get(transport, server.url + "/x")
    assert [(one.method, one.url, one.status) for one in seen] == [
        ("GET", server.url + "/x", 503),
        ("GET", server.url + "/x", 200),
    ]
    assert all(one.seconds > 0 for one in seen)
    transport.close()


def test_an_answer_that_comes_before_the_body_was_sent_is_read(transport):
    """A server that refuses a large body answers and hangs up at once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def refuse():
            connection, _address = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        size = 8 << 20
        body = Body(lambda: io.BytesIO(b"x" * size), size)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        response = transport.request("PUT", url, body=body, repeatable=False)
        assert (response.status, response.read()) == (413, b"large")
        transport.close()
        thread.join()


def test_a_busy_server_is_waited_for_beside_the_attempts(server, pauses):
    busy = Reply(503, headers={"Retry-After": "3"})
    patient = Transport(timeout=5, attempts=2, busy=20, sleep=pauses.append)
    server.replies(*[busy] * 5, Reply(200))
    with patient.request("GET", f"{server.url}/v2/") as response:
        assert response.status == 200
    assert pauses == [3.0] * 5
    # Its time is limited, and the attempts are there still.
    server.replies(busy)
    with patient.request("GET", f"{server.url}/v2/") as response:
        assert response.status == 503
    assert pauses[5:] == [3.0] * 7
    with patient.request("GET", f"{server.url}/v2/", attempts=1) as response:
        assert response.status == 503
    assert len(pauses) == 12
    patient.close()
