# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module where no registry answers; what a real one answers is tested in tests/lab."""

from __future__ import annotations

import json
import socket

import pytest

from ansible_collections.homeport.registry.plugins.modules import health_info


@pytest.fixture
def nowhere() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_there_is_an_answer(run_module, nowhere, scheme, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    result = run_module(health_info, url=f"{scheme}://{nowhere}/")
    assert result["healthy"] is False
    assert result["changed"] is False
    assert [problem["got"] for problem in result["problems"]] == ["nothing listens there"]
    assert result["problems"][0]["tried"] == {"http": "get an answer", "https": "look at the certificate"}[scheme]
    assert nowhere in result["problems"][0]["where"]
    assert result["endpoint"] == {
        "url": f"{scheme}://{nowhere}",
        "reachable": False,
        "status": None,
        "api_version": "",
        "seconds": result["endpoint"]["seconds"],
    }
    assert [result[key] for key in ("tls", "challenge", "anonymous", "round_trip")] == [None] * 4
    assert result["users"] == []
    assert result["requests"] == 0


def test_nobody_there_can_be_a_failure(run_module, nowhere, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    result = run_module(health_info, url=f"http://{nowhere}", fail_on_unhealthy=True)
    assert result["failed"]
    assert "nothing listens there" in result["msg"]
    assert result["problems"][0]["remedy"] in result["msg"]
    assert result["endpoint"]["reachable"] is False


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({}, "missing required arguments: url"),
        ({"url": "registry.example.com"}, "Write it as https://host"),
        ({"url": "https://ci:hunter2@registry.example.com"}, "holds a user name or a password"),
        ({"url": "http://127.0.0.1:1", "ca_cert": "/no/such/file"}, "read the CA certificates"),
        ({"url": "http://127.0.0.1:1", "ca_cert": "/x", "ca_cert_content": "x"}, "mutually exclusive"),
        ({"url": "http://127.0.0.1:1", "round_trip_repository": "UPPER"}, "repository name"),
        ({"url": "http://127.0.0.1:1", "round_trip": True}, "round_trip needs an account that may push"),
        ({"url": "http://127.0.0.1:1", "users": [{"name": "a"}]}, "password"),
        ({"url": "http://127.0.0.1:1", "users": [{"name": "a:b", "password": "x1", "role": "reader"}]}, "colon"),
        ({"url": "http://127.0.0.1:1", "users": [{"name": "a", "password": "x1", "role": "admin"}]}, "role"),
    ],
)
def test_wrong_questions_fail(run_module, options, saying):
    result = run_module(health_info, **options)
    assert result["failed"]
    assert saying in result["msg"]
    # The whole address is among the arguments that Ansible itself shows.
    assert "hunter2" not in json.dumps({key: value for key, value in result.items() if key != "invocation"})
