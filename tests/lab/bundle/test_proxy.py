# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that are fetched by the proxy of a network, here a real tinyproxy that wants an account."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.modules.authority import Authority
from tests.lab.modules.distribution import free_port
from tools.venv import ensure_program

from .stock import Stock

IMAGE = "docker.io/library/nginx:1.27"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Proxy:
    """A tinyproxy on loopback, and what it has written down."""

    def __init__(self, folder: Path) -> None:
        self.port, self._log = free_port(), folder / "proxy.log"
        config = folder / "proxy.conf"
        config.write_text(
            f'Port {self.port}\nListen 127.0.0.1\nLogFile "{self._log}"\nLogLevel Connect\nMaxClients 50\n'
            "Timeout 30\nBasicAuth builder secret7\n"
        )
        self._process = subprocess.Popen(["tinyproxy", "-d", "-c", str(config)], stdout=subprocess.DEVNULL)

    def start(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def address(self, password: str = "%73ecret7") -> str:
        return f"http://builder:{password}@127.0.0.1:{self.port}"

    def asked(self) -> list[str]:
        """Return the first lines of the requests."""
        return [line.partition("): ")[2] for line in self._log.read_text().splitlines() if "Request (" in line]


@pytest.fixture
def proxy(tmp_path, monkeypatch) -> Iterator[Proxy]:
    ensure_program("tinyproxy", "tinyproxy-bin")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    made = Proxy(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def here() -> str:
    """An address of this machine that is no loopback, to which no proxy is asked."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    return next(one for one in found if "." in one)


@pytest.fixture
def source(start, tmp_path, here) -> Iterator[Callable[[bool], dict]]:
    """Return a function that starts a registry with an image, with or without TLS, and says how it is reached."""
    opened = []

    def source(tls: bool) -> dict:
        authority = Authority(tmp_path)
        server = start(listen="0.0.0.0", tls=authority.issue(here) if tls else None)
        url = f"{'https' if tls else 'http'}://{here}:{server.port}"
        transport = Transport(context=make_context(ca_file=str(authority.ca_file)), timeout=20)
        opened.append(transport)
        Stock(Session(transport, url)).plain("library/nginx", "1.27")
        return {"host": "docker.io", "url": url} | ({"ca_cert": str(authority.ca_file)} if tls else {})

    yield source
    for transport in opened:
        transport.close()


@pytest.mark.parametrize(("tls", "variable"), [(True, "HTTPS_PROXY"), (False, "http_proxy")])
def test_images_come_by_the_proxy(proxy, source, lock, build, monkeypatch, tls, variable):
    where = source(tls)
    monkeypatch.setenv(variable, proxy.address())
    assert lock(IMAGE, sources=[where])["changed"]
    locking = len(proxy.asked())
    assert locking
    built = build(sources=[where])
    assert built["changed"], built
    asked = proxy.asked()
    assert len(asked) > locking, "the layers came in another way"
    wanted = f"CONNECT {where['url'].partition('//')[2]} " if tls else f"GET {where['url']}/v2/"
    assert all(line.startswith((wanted, wanted.replace("GET", "HEAD"))) for line in asked), asked


def test_what_needs_no_proxy_is_asked_directly(proxy, source, lock, monkeypatch, here):
    where = source(True)
    monkeypatch.setenv("https_proxy", proxy.address())
    monkeypatch.setenv("no_proxy", f"registry.example.com,{here}/24")
    assert lock(IMAGE, sources=[where])["changed"]
    assert proxy.asked() == []


def test_a_proxy_that_refuses_is_named_at_once(proxy, source, lock, monkeypatch):
    where = source(True)
    monkeypatch.setenv("https_proxy", proxy.address("wrong-word"))
    began = time.monotonic()
    result = lock(IMAGE, sources=[where])
    assert result["failed"]
    assert f"by proxy 127.0.0.1:{proxy.port}" in result["msg"]
    assert "the proxy answered 401" in result["msg"] or "the proxy answered 407" in result["msg"]
    assert "wrong-word" not in str(result)
    assert len(proxy.asked()) == 1
    assert time.monotonic() - began < 10
