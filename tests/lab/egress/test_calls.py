# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever calls is named, whoever does not is not, and a watch that sees nothing is a failure."""

from __future__ import annotations

import hashlib
import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

CALLS = """
import contextlib, socket, ssl, sys, urllib.request
def quietly(call):
    with contextlib.suppress(OSError):
        call()
quietly(lambda: socket.getaddrinfo("asked.example", None))
quietly(lambda: urllib.request.urlopen("http://plain.example/x"))
quietly(lambda: urllib.request.urlopen("https://secret.example/x"))
quietly(lambda: socket.create_connection(("odd.example", 5000), timeout=5))
quietly(lambda: socket.create_connection(("192.0.2.1", 443), timeout=5).recv(1))
quietly(lambda: socket.create_connection(("192.0.2.2", 8443), timeout=5))
quietly(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"time?", ("192.0.2.3", 123)))
quietly(lambda: socket.create_connection(("2001:db8::1", 6000), timeout=5))
# What a program does with itself is nobody's business.
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    """Return a program that calls out in every way."""
    path = tmp_path / "caller.py"
    path.write_text(CALLS)
    return str(path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    """Return the port of an HTTP server of this machine, and what its file holds."""
    content = b"0123456789abcdef" * (1 << 20)
    (tmp_path / "file").write_bytes(content)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], content
        server.shutdown()


def test_every_call_is_named(watch, script):
    result = watch(sys.executable, script)
    assert result["failed"] is True
    assert result["verdict"] == "called_out"
    assert result["rc"] == 0
    seen = {(one["kind"], one["port"], one["name"] or one["address"]): one for one in result["events"]}
    for name in ("asked.example", "plain.example", "secret.example", "odd.example"):
        assert seen.pop(("dns", 0, name))["program"].endswith("caller.py")
    assert seen.pop(("tcp", 80, "plain.example"))["host"] == "plain.example"
    assert seen.pop(("tcp", 443, "secret.example"))["server_name"] == "secret.example"
    assert seen.pop(("tcp", 5000, "odd.example"))["program"].endswith("caller.py")
    assert seen.pop(("tcp", 443, "192.0.2.1"))["program"].endswith("caller.py")
    assert ("tcp", 8443, "192.0.2.2") in seen
    assert ("udp", 123, "192.0.2.3") in seen
    expected = {("tcp", 8443, "192.0.2.2"), ("udp", 123, "192.0.2.3")}
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
        expected.add(("tcp", 6000, "2001:db8::1"))
    assert set(seen) == expected
    assert "asked the DNS for asked.example" in result["msg"]
    assert len(result["lines"]) == len(result["events"])


def test_who_calls_nobody_is_silent(watch):
    before = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
    result = watch("sh", "-c", "echo done; echo warned >&2; cat /etc/resolv.conf")
    assert result["changed"] is True
    assert (result["verdict"], result["events"], result["lines"], result["rc"]) == ("silent", [], [], 0)
    assert result["stdout"].startswith("done\nnameserver 127.0.0.1\n")
    assert result["stderr"] == "warned\n"
    assert result["seconds"] > 0
    assert any(".invalid" in line for line in result["control"])
    # It was another file that the program has seen.
    assert before != result["stdout"].removeprefix("done\n")


def test_what_is_allowed_is_reached_and_nothing_beside_it(watch, site):
    port, content = site
    program = (
        "import hashlib, sys, urllib.request\n"
        f"body = urllib.request.urlopen('http://127.0.0.1:{port}/file').read()\n"
        "print(hashlib.sha256(body).hexdigest())\n"
    )
    result = watch(sys.executable, "-c", program, allow=[f"127.0.0.1:{port}"])
    assert result["verdict"] == "silent", result
    assert result["stdout"].strip() == hashlib.sha256(content).hexdigest()
    [place] = result["allowed"]
    assert (place["host"], place["port"], place["connections"]) == ("127.0.0.1", port, 1)
    assert place["bytes_received"] > len(content)
    # The same port elsewhere is another place.
    other = watch(sys.executable, "-c", program.replace("127.0.0.1", "192.0.2.1"), allow=[f"127.0.0.1:{port}"])
    assert [(one["address"], one["port"]) for one in other["events"]] == [("192.0.2.1", port)]


def test_a_name_that_is_allowed_is_no_event(watch, site):
    port, _content = site
    script = f"import urllib.request; print(urllib.request.urlopen('http://localhost:{port}/file').status)"
    result = watch(sys.executable, "-c", script, allow=[f"localhost:{port}"])
    assert (result["verdict"], result["stdout"]) == ("silent", "200\n"), result


def test_a_name_may_be_given_an_address(watch, site):
    port, _content = site
    script = f"import urllib.request; print(urllib.request.urlopen('http://depot.test:{port}/file').status)"
    result = watch(sys.executable, "-c", script, allow=[f"depot.test:{port}=127.0.0.1"])
    assert (result["verdict"], result["stdout"]) == ("silent", "200\n"), result


def test_a_watch_without_a_positive_control_proves_nothing(watch, tmp_path):
    witness = tmp_path / "witness"
    result = watch("touch", str(witness), control=["true"])
    assert result["failed"] is True
    assert (result["verdict"], result["rc"], result["control"]) == ("vacuous", None, [])
    assert "Nothing is proven about touch, which was not run" in result["msg"]
    assert not witness.exists()


def test_a_control_of_the_users_own_is_seen(watch):
    control = [sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.9', 443)).close()"]
    result = watch("true", control=control)
    assert (result["verdict"], result["events"]) == ("silent", [])
    assert "192.0.2.9:443" in result["control"][0]


def test_a_program_that_fails_is_a_failure_with_what_it_said(watch):
    result = watch("sh", "-c", "echo the reason >&2; exit 7")
    assert (result["failed"], result["verdict"], result["rc"]) == (True, "silent", 7)
    assert "called nobody, and ended with exit code 7: the reason" in result["msg"]


def test_a_program_that_is_missing_says_so(watch):
    result = watch("no-such-program")
    assert (result["failed"], result["rc"]) == (True, 127)
    assert "no-such-program: No such file or directory" in result["msg"]


def test_a_program_that_does_not_end_is_ended(watch):
    result = watch("sleep", "600", timeout=1)
    assert (result["failed"], result["rc"]) == (True, 124)


@pytest.mark.parametrize("place", ["registry.example.com", "https://registry.example.com:443", "192.0.2.1:0", ""])
def test_a_place_without_a_port_is_refused(watch, place):
    result = watch("true", allow=[place])
    assert result["failed"] is True
    assert "it is not host:port" in result["msg"]
    assert "registry.example.com:443" in result["remedy"]


def test_a_place_that_does_not_exist_is_refused(watch):
    result = watch("true", allow=["nowhere.invalid:443"])
    assert result["failed"] is True
    assert result["tried"] == "find what is allowed"


def test_whoever_may_not_make_namespaces_is_told(watch):
    result = watch("true", before=["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"])
    assert result["failed"] is True
    assert "make a network namespace" in result["msg"]
    assert "Run as root" in result["remedy"]
