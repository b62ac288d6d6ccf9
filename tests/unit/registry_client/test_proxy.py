# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which proxy of the environment leads where."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import BadNameError, UnreachableError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import origin_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_proxy import Proxies
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

TO_HTTPS, TO_HTTP = "https://registry.example.com", "http://registry.example.com:5000"
BOTH = {"https": "http://secure.example:3128", "http": "plain.example:8080"}


@pytest.mark.parametrize(
    ("found", "url", "proxy"),
    [
        ({}, TO_HTTPS, None),
        (BOTH, TO_HTTPS, "secure.example:3128"),
        (BOTH, TO_HTTP, "plain.example:8080"),
        ({"https": "http://proxy.example"}, TO_HTTPS, "proxy.example:80"),
        ({"https": "http://[2001:db8::1]:3128/"}, TO_HTTPS, "[2001:db8::1]:3128"),
        ({"http": "proxy.example"}, TO_HTTPS, None),
        ({"https": ""}, TO_HTTPS, None),
        ({"all": "proxy.example:1"}, TO_HTTPS, "proxy.example:1"),
        (BOTH | {"all": "socks5://proxy.example:1"}, TO_HTTPS, "secure.example:3128"),
        (BOTH | {"no": "other.example,example.com"}, TO_HTTPS, None),
        (BOTH | {"no": " .example.com "}, TO_HTTPS, None),
        (BOTH | {"no": "ample.com"}, TO_HTTPS, "secure.example:3128"),
        (BOTH | {"no": "registry.example.com:443"}, TO_HTTPS, None),
        (BOTH | {"no": "registry.example.com:443"}, TO_HTTP, "plain.example:8080"),
        (BOTH | {"no": "*"}, TO_HTTPS, None),
        (BOTH | {"no": "10.0.0.0/8"}, "https://10.1.2.3", None),
        (BOTH | {"no": "10.0.0.0/8,junk/x"}, "https://192.0.2.1", "secure.example:3128"),
        (BOTH | {"no": "2001:db8::/32"}, "https://[2001:db8::5]:5000", None),
        (BOTH | {"no": "192.0.2.1"}, "https://192.0.2.1:5000", None),
        (BOTH, "https://localhost:5000", None),
        (BOTH, "https://127.0.0.3", None),
        (BOTH, "http://[::1]:5000", None),
    ],
)
def test_the_environment_decides(found, url, proxy):
    chosen = Proxies(found).to(origin_of(url))
    assert (str(chosen) if chosen else None) == proxy


def test_an_account_is_shown_to_the_proxy_and_to_nobody_else():
    proxy = Proxies({"https": "http://me:p%40ss@proxy.example:3128"}).to(origin_of(TO_HTTPS))
    assert proxy is not None
    assert proxy.headers == {"Proxy-Authorization": "Basic bWU6cEBzcw=="}
    assert "cEBz" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    ("address", "saying"),
    [
        ("socks5://me:secret@proxy.example:1080", "socks5://"),
        ("http://", "no host"),
        ("proxy.example:99999", "no port up to 65535"),
    ],
)
def test_another_kind_of_proxy_is_refused(address, saying):
    with pytest.raises(BadNameError) as caught:
        Proxies({"https": address}).to(origin_of(TO_HTTPS))
    assert "https_proxy" in str(caught.value)
    assert saying in str(caught.value)
    assert "secret" not in str(caught.value)


def test_variables_are_read_in_either_case(monkeypatch):
    for name in ("https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "quay.io")
    proxies = Proxies.of_environment()
    assert str(proxies.to(origin_of(TO_HTTPS))) == "proxy.example:3128"
    assert proxies.to(origin_of("https://quay.io")) is None


def test_a_proxy_that_is_not_there_is_named():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    transport = Transport(proxies=Proxies({"https": f"127.0.0.1:{port}"}), attempts=1, timeout=5)
    with pytest.raises(UnreachableError) as caught:
        transport.request("GET", TO_HTTPS)
    assert f"{TO_HTTPS} by proxy 127.0.0.1:{port}" in str(caught.value)
    assert "nothing listens there" in str(caught.value)
