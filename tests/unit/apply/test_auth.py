# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Which connection options win, and what they lead to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.module_utils import _kube_auth as auth

NOWHERE = {"KUBECONFIG": "/nonexistent/config"}


def config(user: dict[str, Any], server: str = "http://api.example.com:6443") -> dict[str, Any]:
    """Return a kubeconfig with two contexts."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": server}},
            {"name": "d", "cluster": {"server": "http://other"}},
        ],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "d", "user": "u"}},
        ],
        "current-context": "one",
    }


@pytest.mark.parametrize(
    ("params", "environ", "expected"),
    [
        ({}, {}, {}),
        ({"host": "a", "context": ""}, {"K8S_AUTH_HOST": "b", "K8S_AUTH_CONTEXT": "c"}, {"host": "a"}),
        ({}, {"K8S_AUTH_HOST": "b"}, {"host": "b"}),
        ({}, {"K8S_AUTH_VERIFY_SSL": "no"}, {"validate_certs": False}),
        ({}, {"K8S_AUTH_VALIDATE_CERTS": "true"}, {"validate_certs": True}),
        ({"validate_certs": False}, {"K8S_AUTH_VERIFY_SSL": "yes"}, {"validate_certs": False}),
        ({}, {"K8S_AUTH_SSL_CA_CERT": "ca", "K8S_AUTH_CERT_FILE": "c", "K8S_AUTH_KEY_FILE": "k"},
         {"ca_cert": "ca", "client_cert": "c", "client_key": "k"}),
        ({}, {"K8S_AUTH_IMPERSONATE_GROUPS": "a,b,"}, {"impersonate_groups": ["a", "b"]}),
        ({}, {"K8S_AUTH_PROXY_HEADERS_USER_AGENT": "x"}, {"proxy_headers": {"user_agent": "x"}}),
        ({"proxy_headers": {"basic_auth": "a:b", "user_agent": None}}, {}, {"proxy_headers": {"basic_auth": "a:b"}}),
    ],
)  # fmt: skip
def test_auth_values(params: dict[str, Any], environ: dict[str, str], expected: dict[str, Any]) -> None:
    assert auth.auth_values(params, environ) == expected


@pytest.mark.parametrize("form", ["dict", "json", "file", "environment", "default"])
def test_forms_of_a_kubeconfig(form: str, tmp_path: Path) -> None:
    content = config({"token": "secret-token"})
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    forms: dict[str, tuple[Any, dict[str, str]]] = {
        "dict": (content, {}),
        "json": (json.dumps(content), {}),
        "file": (str(path), {}),
        "environment": (None, {"K8S_AUTH_KUBECONFIG": str(path)}),
        "default": (None, {"KUBECONFIG": str(path)}),
    }
    value, environ = forms[form]
    access = auth.load_access({"kubeconfig": value}, environ)
    assert access.configuration.host == "http://api.example.com:6443"
    assert auth.authorization(access) == "Bearer secret-token"
    assert "kubeconfig" in access.description


def test_context() -> None:
    access = auth.load_access({"kubeconfig": config({}), "context": "two"}, {})
    assert access.configuration.host == "http://other"
    assert access.description == "http://other (kubeconfig given inline, context two)"


def test_options_override_the_kubeconfig() -> None:
    params = {"kubeconfig": config({"token": "a"}), "host": "http://elsewhere/", "api_key": "b"}
    access = auth.load_access(params, {})
    assert access.configuration.host == "http://elsewhere"
    assert auth.authorization(access) == "Bearer b"


def test_options_alone() -> None:
    access = auth.load_access({"host": "http://a", "username": "u", "password": "p"}, NOWHERE)
    assert auth.authorization(access) == "Basic dTpw"
    assert auth.authorization(auth.load_access({"host": "http://a", "api_key": "k"}, NOWHERE)) == "Bearer k"
    anonymous = auth.load_access({"host": "http://a"}, NOWHERE)
    assert auth.authorization(anonymous) is None
    assert anonymous.description == "http://a (task options, anonymous)"


def test_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    incluster = pytest.importorskip("kubernetes.config.incluster_config")
    for name, content in (("token", "sa-token"), ("ca.crt", "x")):
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(incluster, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    # the certificate is none, but the pod's own address was chosen
    with pytest.raises(auth.AccessError):
        auth.load_access({}, pod)
    named = auth.load_access({"kubeconfig": config({})}, pod)
    assert named.configuration.host == "http://api.example.com:6443"


def test_nothing_to_go_by() -> None:
    with pytest.raises(auth.AccessError, match="kubeconfig /nonexistent/config cannot be used"):
        auth.load_access({}, NOWHERE)
    with pytest.raises(auth.AccessError, match="looks like JSON but cannot be parsed"):
        auth.load_access({"kubeconfig": "{nonsense"}, {})


def test_impersonation() -> None:
    params = {"kubeconfig": config({}), "impersonate_user": "jane", "impersonate_groups": ["a", "b"]}
    access = auth.load_access(params, {})
    assert access.headers == [("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")]


def test_secrets_are_known_for_masking() -> None:
    access = auth.load_access({"kubeconfig": config({"token": "secret-token"}), "api_key": "other-token"}, {})
    assert set(access.secrets) == {"secret-token", "other-token"}
    assert auth.mask("a secret-token b", access.secrets) == "a (hidden) b"


def test_environment_is_put_back() -> None:
    before = dict(os.environ)
    auth.load_access({"kubeconfig": config({})}, {"HOMEPORT_TEST_VARIABLE": "x"})
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "PoolManager"),
        ({"proxy": "http://proxy.example.com:3128"}, "ProxyManager"),
        ({"proxy": "http://proxy.example.com:3128", "no_proxy": "example.com"}, "PoolManager"),
        ({"proxy": "http://proxy.example.com:3128", "no_proxy": "other.example"}, "ProxyManager"),
    ],
)
def test_proxies(options: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    access = auth.load_access({"kubeconfig": config({}), **options}, {})
    assert type(auth.build_pool(access, 4)).__name__ == kind


def test_proxy_headers() -> None:
    params = {
        "kubeconfig": config({}),
        "proxy": "http://proxy.example.com:3128",
        "proxy_headers": {"proxy_basic_auth": "u:p", "user_agent": "x"},
    }
    access = auth.load_access(params, {})
    assert access.configuration.proxy_headers == {"user-agent": "x", "proxy-authorization": "Basic dTpw"}
