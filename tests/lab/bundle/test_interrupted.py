# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What breaks in the middle goes on from there, and a disk that is too small is noticed before anything is written."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_names import digest_of

LAYER = bytes(range(256)) * (4 << 12)


class Relay:
    """Passes connections on to a server; `budget` bytes of answers, then every connection is cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.budget = 1 << 40
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _address = self._listener.accept()
                far = socket.create_connection(self._target)
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
                threading.Thread(target=self._back, args=(far, near), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                data = data[: max(0, self.budget)]
                if not data:
                    break
                near.sendall(data)
                self.budget -= len(data)
                self.passed += len(data)
        for one in (far, near):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def relay(server) -> Iterator[Relay]:
    made = Relay(server.url)
    yield made
    made.close()


@pytest.fixture
def through(relay) -> list[dict]:
    return [{"host": "quay.example.com", "url": relay.url}]


@pytest.fixture
def locked(lock, stock):
    stock.plain("app", "1", "linux/amd64", LAYER)
    lock("quay.example.com/app:1")


def test_a_download_that_breaks_goes_on_in_the_next_build(locked, build, dest, relay, through):
    relay.budget = 3 << 20
    # One after another, the largest first.
    result = build(sources=through, patience=0, timeout=5.0, threads=1)
    assert result["failed"]
    assert f"pull {digest_of(LAYER)} of quay.example.com/app:1" in result["msg"]
    assert relay.url in result["where"]
    assert "What has arrived is kept" in result["msg"]
    assert not list(dest.iterdir())
    relay.budget, before = 1 << 40, relay.passed
    assert before > 2 << 20
    result = build(sources=through)
    assert result["changed"]
    # What came before the break was not sent again.
    assert result["download"]["bytes"] < len(LAYER) - (1 << 20)
    assert relay.passed - before < len(LAYER) - (1 << 20)
    assert not build()["changed"]


def test_a_connection_that_breaks_once_goes_unnoticed(locked, build, relay, through):
    relay.budget = 2 << 20

    def refill() -> None:
        while not done.wait(0.01):
            if relay.budget <= 0:
                relay.budget = 3 << 20

    done = threading.Event()
    helper = threading.Thread(target=refill)
    helper.start()
    try:
        result = build(sources=through, threads=1)
    finally:
        done.set()
        helper.join()
    assert result["changed"], result
    assert relay.passed < len(LAYER) + (8 << 20)


@pytest.fixture
def small(tmp_path) -> Iterator[str]:
    """A disk of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    yield str(folder)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("option", ["dest", "cache"])
def test_a_disk_that_is_too_small_is_noticed_first(locked, build, dest, small, option, relay, through):
    for check in (True, False):
        before = relay.passed
        result = build(check=check, sources=through, **{option: small})
        assert result["failed"]
        assert result["where"] == small
        assert "bytes are needed and" in result["got"]
        # Nothing was asked for.
        assert relay.passed == before
    assert not list(dest.iterdir())
