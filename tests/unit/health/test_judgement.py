# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as a problem, by table; the evidence itself is gathered from a real registry in tests/lab."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_certificates import Certificate, TlsReport
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError
from ansible_collections.homeport.registry.plugins.module_utils._registry_health import (
    RIGHTS,
    Account,
    Right,
    judge_right,
    judge_tls,
)

URL = "https://registry.example.com"
USER, NOBODY = Account("ci", "secret", "reader"), Account(None, None, "none")
AWAY = HttpError("x", where="POST there", got="status 503", remedy="Repeat later.", status=503)


def certificate(days: int, name: str = "registry.example.com") -> Certificate:
    return Certificate(
        f"CN={name}", "CN=CA", [name], "Jan  1 00:00:00 2026 GMT", "Dec 31 00:00:00 2026 GMT", days, "ab"
    )


@pytest.mark.parametrize(
    ("account", "expected", "allowed", "status", "error", "tried", "remedy"),
    [
        (USER, True, True, 200, None, None, None),
        (USER, False, False, 401, None, None, None),
        (USER, True, False, 401, None, "find doing it allowed to user ci", "Check the password"),
        (USER, False, True, 202, None, "find doing it refused to user ci", "htpasswd of the writer"),
        (NOBODY, False, True, 200, None, "find doing it refused to a client without a password", "authentication"),
        (USER, True, None, 503, AWAY, "find out about doing it as user ci", "Repeat later."),
        (USER, False, None, 503, AWAY, "find out about doing it as user ci", "Repeat later."),
    ],
)
def test_rights(account, expected, allowed, status, error, tried, remedy):
    problem = judge_right(account, "doing it", URL, Right(expected, allowed, status, 0.1), error)
    if tried is None:
        assert problem is None
        return
    assert problem is not None
    assert problem.tried == tried
    assert remedy in problem.remedy
    assert str(status) in problem.got
    assert problem.where == ("POST there" if error else URL)


def test_roles_are_what_they_say():
    assert RIGHTS == {"none": (False, False), "reader": (True, False), "writer": (True, True)}


@pytest.mark.parametrize(
    ("trusted", "problem", "chain", "days", "saying"),
    [
        (True, "", [certificate(15), certificate(900, "CA")], 14, None),
        (True, "", [certificate(14)], 14, None),
        (True, "", [], 14, None),
        (True, "", [certificate(13)], 14, "CN=registry.example.com expires in 13 days"),
        (True, "", [certificate(500), certificate(3, "CA")], 14, "CN=CA expires in 3 days"),
        (True, "", [certificate(0)], 0, None),
        (
            False,
            "certificate has expired",
            [certificate(-2)],
            14,
            "has expired (for registry.example.com, until Dec 31",
        ),
        (
            False,
            "certificate is not yet valid",
            [certificate(90)],
            14,
            "not yet valid (for registry.example.com, from Jan",
        ),
        (False, "self-signed certificate", [], 14, "self-signed certificate"),
    ],
)
def test_certificates(trusted, problem, chain, days, saying):
    found = judge_tls(URL, TlsReport("TLSv1.3", trusted, problem, chain), days)
    assert (found is None) == (saying is None)
    if found:
        assert saying in found.got


def test_days_left_are_those_of_the_first_to_expire():
    assert TlsReport("", True, "", [certificate(50), certificate(7), certificate(900)]).days_left == 7
    assert TlsReport("", True, "", []).days_left is None


def test_passwords_stay_out_of_messages():
    assert "secret" not in repr(USER)
    assert "secret" not in str(USER)


@pytest.mark.parametrize("problem", ["certificate is not yet valid", "certificate has expired"])
def test_a_clock_that_may_be_wrong_is_named(problem):
    found = judge_tls(URL, TlsReport("TLSv1.3", False, problem, [certificate(90)]), 14)
    assert found is not None
    assert "the clock of the machine that looked says 20" in found.got
    assert "Set the clock" in found.remedy
