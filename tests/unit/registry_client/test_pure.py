# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pure parts of the client, by table."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_errors as errors
from ansible_collections.homeport.registry.plugins.module_utils._registry_auth import (
    Challenge,
    choose,
    parse_challenges,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import refuse_downgrade, retry_after
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    Origin,
    check_base_url,
    check_digest,
    check_reference,
    check_repository,
    digest_of,
    is_digest,
    origin_of,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import next_link
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import connection_error, make_context

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        ([], []),
        (['Basic realm="Registry"'], [Challenge("basic", "Registry")]),
        (["basic realm=plain"], [Challenge("basic", "plain")]),
        (["Basic"], [Challenge("basic")]),
        (
            ['Bearer realm="https://auth.example.com/token",service="reg, one",scope="repository:a/b:pull,push"'],
            [Challenge("bearer", "https://auth.example.com/token", "reg, one", "repository:a/b:pull,push")],
        ),
        (
            ['Bearer realm = "r" , error = "insufficient_scope" , unknown="x"'],
            [Challenge("bearer", "r", error="insufficient_scope")],
        ),
        (['Basic realm="with \\"quotes\\" and \\\\"'], [Challenge("basic", 'with "quotes" and \\')]),
        (['Basic realm="one", Bearer realm="two"'], [Challenge("basic", "one"), Challenge("bearer", "two")]),
        (['Basic realm="one"', 'Bearer realm="two"'], [Challenge("basic", "one"), Challenge("bearer", "two")]),
        (['Negotiate abc==, Basic realm="x"'], [Challenge("negotiate"), Challenge("basic", "x")]),
        (['Bearer realm="first", realm="second"'], [Challenge("bearer", "first")]),
        (['"broken, Basic realm="x"'], [Challenge("broken"), Challenge("basic", "x")]),
        (['realm="no scheme"'], [Challenge("realm"), Challenge("no"), Challenge("scheme")]),
        (["\x00\xff"], []),
    ],
)
def test_challenges(headers, challenges):
    if headers == ['realm="no scheme"']:
        # Garbage gives garbage, but no error, and nothing that would be answered.
        assert choose(parse_challenges(headers)) is None
        return
    assert parse_challenges(headers) == challenges


@pytest.mark.parametrize(
    ("schemes", "chosen"),
    [
        ([], None),
        (["negotiate"], None),
        (["basic"], "basic"),
        (["basic", "bearer"], "bearer"),
        (["digest", "basic"], "basic"),
    ],
)
def test_bearer_is_preferred(schemes, chosen):
    found = choose([Challenge(scheme) for scheme in schemes])
    assert (found.scheme if found else None) == chosen


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        (" 120 ", 120),
        ("-5", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after(value, now=60.0) == seconds


@pytest.mark.parametrize(
    ("values", "target"),
    [
        ([], None),
        (['</v2/_catalog?last=b&n=2>; rel="next"'], "/v2/_catalog?last=b&n=2"),
        (["</v2/x>; rel=next"], "/v2/x"),
        (['</a>; rel="prev", </b>; rel="next"'], "/b"),
        (['</a>; rel="prev"', '</b>; title="x"; rel="next"'], "/b"),
        (['</a>; rel="prev"'], None),
        (["nonsense; rel=next"], None),
    ],
)
def test_next_link(values, target):
    assert next_link(values) == target


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Registry.example.com", Origin("https", "registry.example.com", 443)),
        ("http://registry.example.com/x", Origin("http", "registry.example.com", 80)),
        ("https://[::1]:5000", Origin("https", "::1", 5000)),
    ],
)
def test_origin(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url", ["registry.example.com", "ftp://x", "https://", "https://x:port", "", "//x", "https://[::1"]
)
def test_no_origin(url):
    with pytest.raises(errors.BadNameError, match="no http or https URL"):
        origin_of(url)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://r.example.com/", "https://r.example.com"),
        ("https://r.example.com/sub/", "https://r.example.com/sub"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_base_url(url, base):
    assert check_base_url(url) == base


@pytest.mark.parametrize(
    ("url", "saying"),
    [
        ("https://user:hunter2@r.example.com", "user name or a password"),
        ("https://r.example.com/?x=1", "query"),
        ("https://r.example.com/#x", "fragment"),
        ("https://r.example.com/v2/", "ends in /v2"),
    ],
)
def test_bad_base_url(url, saying):
    with pytest.raises(errors.BadNameError, match=saying) as caught:
        check_base_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "team/app", "a.b_c__d-e--f/g0", "x" * 255])
def test_good_repository(name):
    assert check_repository(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "a/", "/a", "a//b", "a..b", "a___b", "-a", "a b", "a:b", "../x", "x" * 256, "a\n"]
)
def test_bad_repository(name):
    with pytest.raises(errors.BadNameError, match="not well formed"):
        check_repository(name)


@pytest.mark.parametrize("reference", ["latest", "v1.0_x-Y", "_", "x" * 128, EMPTY, "sha512:" + "a" * 128])
def test_good_reference(reference):
    assert check_reference(reference) == reference


@pytest.mark.parametrize(
    "reference", ["", ".x", "-x", "a/b", "x" * 129, EMPTY[:-1], EMPTY.upper(), "md5:" + "a" * 32, "a?b"]
)
def test_bad_reference(reference):
    with pytest.raises(errors.BadNameError, match="not well formed"):
        check_reference(reference)


def test_digests():
    assert digest_of(b"") == EMPTY
    assert digest_of(b"", "sha512:").startswith("sha512:cf83e1357eefb8bd")
    assert is_digest(EMPTY)
    assert not is_digest("latest")
    with pytest.raises(errors.BadNameError, match="not well formed"):
        check_digest("latest")


def document(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": "what it says", "detail": {"x": 1}}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "credentials", "kind", "got", "remedy"),
    [
        (
            401,
            document("UNAUTHORIZED"),
            False,
            errors.UnauthorizedError,
            "UNAUTHORIZED what it says",
            "Give a user name",
        ),
        (401, b"", True, errors.UnauthorizedError, "status 401", "Check name and password"),
        (403, document("DENIED"), True, errors.ForbiddenError, "DENIED", "right"),
        (404, document("NAME_UNKNOWN"), True, errors.NotFoundError, "NAME_UNKNOWN", "repository name"),
        (404, document("BLOB_UPLOAD_INVALID"), True, errors.NotFoundError, "BLOB_UPLOAD", "http.secret"),
        (404, b"404 page not found\n", True, errors.NotFoundError, "404 page not found", "not served here"),
        (405, b"Method not allowed\n", True, errors.NotAllowedError, "Method not allowed", "maintenance.readonly"),
        (413, b"<html><h1>413 Too\nLarge</h1></html>", True, errors.HttpError, "413 Too Large", "client_max_body_size"),
        (429, document("TOOMANYREQUESTS"), True, errors.ThrottledError, "TOOMANY", "later"),
        (503, document("UNAVAILABLE"), True, errors.ThrottledError, "UNAVAILABLE", "maintenance or garbage collection"),
        (500, b"\xff\x00", True, errors.HttpError, "status 500", "full volume"),
        (400, b"Client sent an HTTP request to an HTTPS server.", True, errors.HttpError, "400", "https://"),
        (302, b"", True, errors.HttpError, "302", "redirects to"),
        (418, b'{"errors": "text"}', True, errors.HttpError, "418", "log"),
        (400, b'{"errors": [{"message": "no code"}]}', True, errors.HttpError, "400", "log"),
    ],
)
def test_http_errors(status, body, credentials, kind, got, remedy):
    error = errors.http_error(
        "do it", method="GET", url="https://r/v2/x?_state=secret", status=status, body=body, credentials=credentials
    )
    assert type(error) is kind
    assert error.status == status
    assert got in error.got
    assert remedy in error.remedy
    assert error.where == "GET https://r/v2/x"
    assert str(error).startswith("Could not do it (GET https://r/v2/x): status ")
    assert set(error.as_dict()) == {"tried", "where", "got", "remedy"}


def test_the_wait_a_server_asks_for_is_shown():
    error = errors.http_error(
        "do it", method="PUT", url="https://r/", status=503, body=b"", credentials=True, retry_after="30"
    )
    assert "Retry-After 30" in error.got


@pytest.mark.parametrize("problem", ["certificate is not yet valid", "certificate has expired"])
def test_a_clock_that_may_be_wrong_is_named(problem):
    error = ssl.SSLCertVerificationError(1, problem)
    error.verify_message = problem
    found = connection_error("read", "https://r", error)
    assert "the clock of the machine that looked says 20" in found.got
    assert "Set the clock" in found.remedy


@pytest.mark.parametrize(
    ("exc", "kind", "saying"),
    [
        (socket.gaierror(-2, "x"), errors.UnreachableError, "does not resolve"),
        (ConnectionRefusedError(), errors.UnreachableError, "nothing listens"),
        (TimeoutError(), errors.UnreachableError, "no answer in time"),
        (ConnectionResetError(104, "reset"), errors.UnreachableError, "the connection broke"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), errors.TlsError, "http://"),
        (ssl.SSLEOFError(8, "EOF"), errors.UnreachableError, "the connection broke"),
        (ssl.SSLCertVerificationError(1, "bad"), errors.TlsError, "not trusted"),
    ],
)
def test_connection_errors(exc, kind, saying):
    error = connection_error("do it", "there", exc)
    assert type(error) is kind
    assert saying in str(error)


@pytest.mark.parametrize(
    ("source", "target", "refused"),
    [
        ("https://a", "http://a", True),
        ("https://a", "https://b", False),
        ("http://a", "http://a", False),
        ("http://a", "https://a", False),
    ],
)
def test_downgrade(source, target, refused):
    if not refused:
        refuse_downgrade(source, target)
        return
    with pytest.raises(errors.TlsError, match="not encrypted"):
        refuse_downgrade(source, target)


def test_unreadable_ca(tmp_path):
    empty = tmp_path / "ca.crt"
    empty.write_text("no certificate")
    for file, text in ((str(empty), None), (str(tmp_path / "missing"), None), (None, "no certificate")):
        with pytest.raises(errors.TlsError, match="read the CA certificates"):
            make_context(ca_file=file, ca_text=text)
