# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""When a request is repeated, and what is said when it is not."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from urllib3 import HTTPConnectionPool, exceptions

from ansible_collections.homeport.registry.plugins.module_utils import _kube_http as http


def refusal(status: int, message: str = "", reason: str = "", **details: Any) -> http.ApiError:
    """Return the error for a Status object."""
    return http.ApiError("PATCH", "/x", status, {"message": message, "reason": reason, "details": details})


@pytest.mark.parametrize(
    ("error", "retry_after", "attempt", "expected"),
    [
        (refusal(429), "3", 1, 3.0),
        (refusal(429), "1000", 1, http.LONGEST_PAUSE),
        (refusal(429), "0", 1, 0.05),
        (refusal(429), None, 1, 0.25),
        (refusal(429, retryAfterSeconds=2), None, 1, 2.0),
        (refusal(503), "Wed, 21 Oct 2030 07:28:00 GMT", 2, 0.5),
        (refusal(429), "1", http.ATTEMPTS, None),
        (refusal(502), None, 5, 4.0),
        (refusal(504), None, 1, 0.25),
        (refusal(500, 'failed calling webhook "x"'), None, 1, 0.25),
        (refusal(500, "etcdserver: leader changed"), None, 1, 0.25),
        (refusal(500, reason="ServerTimeout", retryAfterSeconds=1), None, 1, 1.0),
        (refusal(500, "nil pointer"), None, 1, None),
        (refusal(403, "x is forbidden: status unknown for quota: q"), None, 1, 0.25),
        (refusal(403, "exceeded quota"), None, 1, None),
        (refusal(409, "Operation cannot be fulfilled: the object has been modified"), None, 1, 0.25),
        (refusal(409, "Apply failed with 1 conflict"), None, 1, None),
        (refusal(404), None, 1, None),
        (refusal(422), None, 1, None),
    ],
)
def test_pause_before_retry(
    error: http.ApiError, retry_after: str | None, attempt: int, expected: float | None
) -> None:
    assert http.pause_before_retry(error, retry_after, attempt) == expected


def chained(outer: Exception, inner: Exception) -> Exception:
    """Return an error as urllib3 nests them."""
    outer.__cause__ = inner
    return outer


def test_a_clock_that_may_be_wrong_is_named() -> None:
    early = "[SSL] certificate verify failed: certificate is not yet valid (_ssl.c:1000)"
    _fatal, text = http.describe_loss(ssl.SSLCertVerificationError(1, early))
    assert "(certificate is not yet valid); check the clock here, which says 20" in text


UNTRUSTED = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed: self-signed certificate (_ssl.c:1000)")


@pytest.mark.parametrize(
    ("error", "fatal", "text"),
    [
        (exceptions.SSLError(UNTRUSTED), True, "its certificate is not trusted (self-signed certificate)"),
        (exceptions.SSLError(ssl.SSLError(1, "wrong version number")), True, "TLS failed"),
        (exceptions.SSLError(ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] unknown ca")), True, "TLS failed"),
        (exceptions.SSLError(ssl.SSLError(1, "[SSL: TLSV1_ALERT_DECODE_ERROR] decode error")), False, "TLS failed"),
        (exceptions.SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")), False, "TLS failed"),
        (
            chained(exceptions.HTTPError("x"), socket.gaierror(-2, "Name or service")),
            True,
            "host name cannot be resolved",
        ),
        (exceptions.ConnectTimeoutError(), False, "no connection within 10 seconds"),
        (exceptions.ReadTimeoutError(HTTPConnectionPool("h"), "u", "m"), False, "no answer within 60 seconds"),
        (chained(exceptions.HTTPError("x"), ConnectionRefusedError(111, "refused")), False, "connection refused"),
        (
            exceptions.ProtocolError("Connection aborted", ConnectionResetError(104, "reset by peer")),
            False,
            "Connection aborted",
        ),
    ],
)
def test_describe_loss(error: Exception, fatal: bool, text: str) -> None:
    found_fatal, found_text = http.describe_loss(error)
    assert found_fatal is fatal
    assert text in found_text


@pytest.mark.parametrize(
    ("method", "query", "body", "dry"),
    [
        ("GET", {}, None, True),
        ("PATCH", {"dryRun": "All"}, {}, True),
        ("PATCH", {}, {"dryRun": ["All"]}, False),
        ("PATCH", None, {}, False),
        ("DELETE", {"dryRun": "All"}, {}, False),
        ("DELETE", None, {"dryRun": ["All"]}, True),
        ("DELETE", None, None, False),
    ],
)
def test_dry_requests(method: str, query: dict[str, str] | None, body: Any, dry: bool) -> None:
    assert http.is_dry(method, query, body) is dry


@pytest.mark.parametrize(
    ("date", "elapsed", "expected"),
    [
        ("Tue, 01 Jan 2030 00:00:10 GMT", 0.0, 1893456010),
        ("Tue, 01 Jan 2030 00:00:10 GMT", 0.01, 1893456009),
        ("Tue, 01 Jan 2030 00:00:10 GMT", 1.5, 1893456008),
        (None, 0.0, None),
        ("yesterday", 0.0, None),
    ],
)
def test_server_second(date: str | None, elapsed: float, expected: int | None) -> None:
    assert http.server_second(date, elapsed) == expected


def test_watch_lines_are_put_together() -> None:
    chunks = [b'{"type": "ADD', b'ED"}\n{"type"', b': "MODIFIED"}\n\n', b'{"type": "cut off']
    assert [event["type"] for event in http._json_lines(iter(chunks))] == ["ADDED", "MODIFIED"]


@pytest.mark.parametrize(
    ("error", "namespace", "kind"),
    [
        (refusal(404, name="x", kind="namespaces"), "x", False),
        (refusal(404, name="c", kind="configmaps"), None, False),
        (refusal(404), None, True),
        (http.ApiError("GET", "/x", 404, "404 page not found"), None, True),
        (refusal(403), None, False),
    ],
)
def test_what_is_missing(error: http.ApiError, namespace: str | None, kind: bool) -> None:
    assert error.missing_namespace == namespace
    assert error.missing_kind is kind
