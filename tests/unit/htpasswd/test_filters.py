# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters, called the way a template calls them."""

from __future__ import annotations

import base64

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.credentials import credentials
from ansible_collections.homeport.registry.plugins.filter.htpasswd import htpasswd
from ansible_collections.homeport.registry.plugins.filter.secret_value import secret_value


def secret(**values: str) -> dict:
    return {
        "kind": "Secret",
        "metadata": {"name": "registry-credentials"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


class Vaulted:
    """What ansible-core 2.16 to 2.18 hand over for a vaulted value inside a list."""

    __ENCRYPTED__ = True

    def __str__(self) -> str:
        return "from the vault"


def test_password_comes_from_the_user_then_the_secret_then_nowhere():
    users: list[dict] = [
        {"name": "given", "password": "hand made", "role": "writer"},
        {"name": "kept"},
        {"name": "fresh", "role": None, "state": "present"},
        {"name": "gone", "state": "absent"},
    ]
    result = credentials(users, secret(given="old", kept="from before", gone="x"))
    assert [user["name"] for user in result] == ["given", "kept", "fresh"]
    assert [user["role"] for user in result] == ["writer", "reader", "reader"]
    assert [user["generated"] for user in result] == [False, True, True]
    assert [user["password"] for user in result[:2]] == ["hand made", "from before"]
    assert len(result[2]["password"]) == 32
    assert result[2]["password"].isalnum()


@pytest.mark.parametrize("live", [None, {}, {"data": None}, secret()])
def test_new_passwords_differ(live):
    passwords = {credentials([{"name": "ci"}], live, 22)[0]["password"] for dummy in range(50)}
    assert len(passwords) == 50
    assert {len(password) for password in passwords} == {22}


def test_vaulted_values_are_read():
    assert credentials([{"name": "ci", "password": Vaulted()}])[0]["password"] == "from the vault"


@pytest.mark.parametrize(
    ("users", "live", "length", "saying"),
    [
        ([{"name": "ci", "role": "admin"}], None, 32, "role 'admin'"),
        ([{"name": "ci"}, {"name": "ci"}], None, 32, "listed twice"),
        ([{"name": "ci"}], None, 21, "Choose 22 to 72"),
        ([{"name": "ci"}], None, 73, "Choose 22 to 72"),
        ([{"name": "ci@example.com"}], None, 32, "no valid key of a Secret"),
        ([{"name": ".."}], None, 32, "no valid key of a Secret"),
        ([{"name": "..x"}], None, 32, "no valid key of a Secret"),
        ([{"name": "ci", "password": 1234}], None, 32, "found int. Put it in quotes"),
        ([{"password": "x"}], None, 32, "Expected text for a user's name"),
        ([{"name": "a:b", "password": "x"}], None, 32, "colon"),
        ([{"name": "ci", "password": ""}], None, 32, "password is empty"),
        ([{"name": "ci", "password": "x" * 73}], None, 32, "73 bytes"),
        ([{"name": "ci"}], secret(ci="x" * 73), 32, "73 bytes"),
        ([{"name": "ci"}], {"metadata": {"name": "s"}, "data": {"ci": "%%"}}, 32, "Key ci of Secret s is not base64"),
    ],
)
def test_bad_users_are_refused(users, live, length, saying):
    with pytest.raises(AnsibleFilterError, match=saying):
        credentials(users, live, length)


def test_an_address_as_name_is_fine_with_a_password():
    assert credentials([{"name": "ci@example.com", "password": "x"}])[0]["generated"] is False


def test_htpasswd_is_exclusive_and_stable():
    users = [{"name": "ci", "password": "one", "role": "writer", "generated": False}]
    first = htpasswd(users, None, 4)
    assert first.startswith("ci:$2y$04$")
    assert htpasswd(users, "# note\nold:x\n" + first, 4) == first
    assert htpasswd([], first) == ""


@pytest.mark.parametrize(
    ("users", "cost", "saying"),
    [
        ([{"name": "ci", "password": 1}], 5, "found int"),
        ([{"name": "ci"}], 5, "password of user ci"),
        ([{"name": "ci", "password": "x"}], 20, "out of range"),
    ],
)
def test_htpasswd_refuses_bad_input(users, cost, saying):
    with pytest.raises(AnsibleFilterError, match=saying):
        htpasswd(users, "", cost)


@pytest.mark.parametrize(
    ("live", "value"),
    [
        (None, ""),
        ({}, ""),
        ({"data": None}, ""),
        (secret(other="x"), ""),
        (secret(key="h\u00e9llo"), "h\u00e9llo"),
        (secret(key=""), ""),
    ],
)
def test_secret_value(live, value):
    assert secret_value(live, "key") == value


@pytest.mark.parametrize("data", ["%%%", "/w=="])
def test_secret_value_refuses_what_is_not_text(data):
    with pytest.raises(AnsibleFilterError, match="Key key of Secret without a name"):
        secret_value({"data": {"key": data}}, "key")
