# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pure core: existing text and users in, new text and steps out."""

from __future__ import annotations

import threading

import pytest
from passlib.hash import bcrypt

from ansible_collections.homeport.registry.plugins.module_utils import _htpasswd
from ansible_collections.homeport.registry.plugins.module_utils._errors import HtpasswdError
from ansible_collections.homeport.registry.plugins.module_utils._htpasswd import User, plan, users_from

# Known answers, cost 4: not made by the code under test.
ALICE = "alice:$2y$04$5BJqKfqMQvV7nS.yUguNcueVirQqDBGaLXSqj.rs.pZPlNR0UX/HK\n"  # password "test"
BOB = "bob:$2b$04$5BJqKfqMQvV7nS.yUguNcueVirQqDBGaLXSqj.rs.pZPlNR0UX/HK\n"
APR1 = "carol:$apr1$aaaaaaaa$xxxxxxxxxxxxxxxxxxxxxx\n"


def hash_of(text: str, name: str) -> str:
    return next(line.split(":", 1)[1] for line in text.splitlines() if line.startswith(name + ":"))


def logs_in(text: str, name: str, password: str) -> bool:
    return bcrypt.verify(password, hash_of(text, name))


def verbs(result: _htpasswd.Plan) -> list[tuple[str, str]]:
    return [(step.name, step.verb) for step in result.steps]


def test_new_text_lets_the_users_in():
    result = plan("", [User("alice", "secret one"), User("bob", "secret two")], cost=4)
    assert result.changed
    assert result.text.count("\n") == 2
    assert logs_in(result.text, "alice", "secret one")
    assert not logs_in(result.text, "alice", "secret two")
    assert logs_in(result.text, "bob", "secret two")
    assert hash_of(result.text, "alice").startswith("$2y$04$")
    assert verbs(result) == [("alice", "added"), ("bob", "added")]


@pytest.mark.parametrize("exclusive", [False, True])
def test_second_run_changes_nothing(exclusive):
    users = [User("alice", "one"), User("bob", "two")]
    first = plan("", users, cost=4, exclusive=exclusive)
    second = plan(first.text, users, cost=4, exclusive=exclusive)
    assert second.text == first.text
    assert not second.changed
    assert second.actions == []
    assert verbs(second) == [("alice", "kept"), ("bob", "kept")]


@pytest.mark.parametrize(
    ("text", "password", "cost", "verb", "reason"),
    [
        (ALICE, "test", 4, "kept", ""),
        (ALICE.replace("$2y$", "$2a$"), "test", 4, "kept", ""),
        (ALICE.replace("$2y$", "$2b$"), "test", 4, "kept", ""),
        ("  " + ALICE.strip() + " \r\n", "test", 4, "kept", ""),
        (ALICE, "Test", 4, "updated", "new password"),
        (ALICE, "test", 5, "updated", "cost 4 to 5"),
        (ALICE.replace("$2y$", "$2x$"), "test", 4, "updated", "was not a valid bcrypt hash"),
        (ALICE.replace("$2y$", "$2$"), "test", 4, "updated", "was not a valid bcrypt hash"),
        (ALICE.replace("HK\n", "H\n"), "test", 4, "updated", "was not a valid bcrypt hash"),
        # The last character carries four bits that no decoder reads back, but servers compare.
        (ALICE.replace("HK\n", "HL\n"), "test", 4, "updated", "was not a valid bcrypt hash"),
        # So does the last character of the salt.
        (ALICE.replace("Ncue", "Ncve"), "test", 4, "updated", "was not a valid bcrypt hash"),
        (APR1.replace("carol", "alice"), "test", 4, "updated", "was not a valid bcrypt hash"),
        ("alice:\n", "test", 4, "updated", "was not a valid bcrypt hash"),
        ("", "test", 4, "added", ""),
    ],
)
def test_what_happens_to_a_hash(text, password, cost, verb, reason):
    result = plan(text, [User("alice", password)], cost=cost)
    assert [(step.verb, step.reason) for step in result.steps] == [(verb, reason)]
    assert result.changed == (verb != "kept")
    if verb != "kept":
        assert logs_in(result.text, "alice", password)
        assert hash_of(result.text, "alice").startswith(f"$2y$0{cost}$")


def test_other_lines_stay_byte_for_byte():
    text = "# staff\n\n  " + BOB.strip() + "  \r\n#\udce4 old latin-1 comment\n" + ALICE + "   \n# end"
    result = plan(text, [User("alice", "new"), User("zoe", "x")], cost=4)
    alice, zoe = (f"{name}:{hash_of(result.text, name)}\n" for name in ("alice", "zoe"))
    assert result.text == text.replace(ALICE, alice) + "\n" + zoe


def test_a_missing_final_newline_is_no_change():
    text = ALICE.rstrip("\n")
    assert plan(text, [User("alice", "test")], cost=4).text == text


def test_exclusive_leaves_the_listed_users_only():
    result = plan("# c\n" + BOB + "junk\n" + APR1 + ALICE, [User("alice", "test")], cost=4, exclusive=True)
    assert result.text == ALICE
    assert verbs(result) == [("alice", "kept"), ("bob", "removed"), ("carol", "removed")]


def test_absent_removes_even_a_foreign_scheme():
    result = plan(APR1 + ALICE, [User("carol", present=False), User("dave", present=False)], cost=4)
    assert result.text == ALICE
    assert verbs(result) == [("carol", "removed"), ("dave", "absent")]
    assert result.actions == ["remove carol"]


@pytest.mark.parametrize(
    ("line", "saying"),
    [
        (APR1, "user carol is not bcrypt (Apache MD5)"),
        ("carol:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n", "(SHA-1)"),
        ("carol:$6$salt$hash\n", "(SHA-512 crypt)"),
        ("carol:hunter2\n", "(plain text, crypt or unknown)"),
        ("carol:$2y$04$short\n", "damaged or outdated bcrypt"),
        ("carol:$2y$32$5BJqKfqMQvV7nS.yUguNcueVirQqDBGaLXSqj.rs.pZPlNR0UX/HK\n", "damaged or outdated bcrypt"),
        ("carol\n", "no colon"),
        (":" + ALICE.split(":")[1], "is empty"),
        ("ca\udcffrol:" + ALICE.split(":")[1], "not UTF-8"),
        ("ca\trol:" + ALICE.split(":")[1], "control character"),
        ("carol :" + ALICE.split(":")[1], "white space"),
        (BOB, "already has line 2"),
        (ALICE, "already has line 3"),
    ],
)
def test_a_bad_line_that_would_stay_is_named(line, saying):
    with pytest.raises(HtpasswdError) as caught:
        plan("# head\n" + BOB + ALICE + line, [User("alice", "test")], cost=4)
    message = str(caught.value)
    assert "line 4" in message
    assert saying in message
    assert "hunter2" not in message
    assert "qUqP5" not in message


def test_exclusive_settles_a_duplicate_with_the_line_the_server_uses():
    other = plan("", [User("alice", "other")], cost=4).text
    result = plan(other + ALICE, [User("alice", "test")], cost=4, exclusive=True)
    assert result.text == ALICE


@pytest.mark.parametrize(
    ("name", "saying"),
    [
        ("", "is empty"),
        ("a:b", "colon"),
        ("a\nb", "control character"),
        ("a\x00", "control character"),
        ("a\x7f", "control character"),
        ("a\x85b", "control character"),
        ("\ufeffalice", "invisible"),
        ("a\u200bb", "invisible"),
        ("a\u2028b", "line separator"),
        (" alice", "white space"),
        ("alice\u00a0", "white space"),
        ("#alice", "comment"),
        ("a\udcff", "not UTF-8"),
        ("x" * 256, "longer than 255 bytes"),
        ("\u00e9" * 128, "longer than 255 bytes"),
    ],
)
@pytest.mark.parametrize("present", [True, False])
def test_bad_names_are_refused(name, saying, present):
    with pytest.raises(HtpasswdError, match=saying):
        plan("", [User(name, "x", present)], cost=4)


@pytest.mark.parametrize("name", ["a", "x" * 255, "\u00e9" * 127, "ci bot", "a@b.example", "J\u00f6rg", "-x", "a#b"])
def test_good_names_are_accepted(name):
    text = plan("", [User(name, "x")], cost=4).text
    assert not plan(text, [User(name, "x")], cost=4).changed


@pytest.mark.parametrize(
    ("password", "saying"),
    [
        (None, "empty"),
        ("", "empty"),
        ("x" * 73, "73 bytes"),
        ("\u20ac" * 25, "75 bytes"),
        ("secret\n", "control character"),
        ("se\x00cret", "control character"),
        ("se\udcffcret", "not UTF-8"),
    ],
)
def test_bad_passwords_are_refused_without_being_shown(password, saying):
    with pytest.raises(HtpasswdError, match=saying) as caught:
        plan("", [User("alice", password)], cost=4)
    assert "alice" in str(caught.value)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["x" * 72, "\u20ac" * 24, "a:b c", " edge "])
def test_good_passwords_are_accepted(password):
    assert logs_in(plan("", [User("alice", password)], cost=4).text, "alice", password)


def test_duplicate_users_are_refused():
    with pytest.raises(HtpasswdError, match=r"alice.*listed twice"):
        plan("", [User("alice", "x"), User("alice", present=False)], cost=4)


@pytest.mark.parametrize("cost", [3, 18, -1])
def test_cost_out_of_range_is_refused(cost):
    with pytest.raises(HtpasswdError, match="out of range"):
        plan("", [User("alice", "x")], cost=cost)


def test_diff_names_users_and_never_shows_a_hash():
    text = ALICE + BOB
    result = plan(text, [User("alice", "new"), User("bob", present=False), User("zoe", "x")], cost=4)
    assert result.diff() == {"before": "alice\nbob\n", "after": "alice (new password)\nzoe\n"}
    assert result.actions == ["update alice (new password)", "add zoe", "remove bob"]
    assert "$2" not in repr(result)
    assert "new'" not in repr([User("alice", "new")])


def test_hashing_runs_in_as_many_threads_as_cores_and_no_more(monkeypatch):
    monkeypatch.setattr(_htpasswd, "_cpus", lambda: 3)
    together = threading.Barrier(3, timeout=10)
    names = set()

    class Hasher:
        def using(self, **settings):
            return self

        def hash(self, secret):
            names.add(threading.current_thread().name)
            together.wait()
            return "$2y$04$" + "." * 53

    monkeypatch.setattr(_htpasswd, "load_bcrypt", Hasher)
    plan("", [User(f"user{number}", "x") for number in range(6)], cost=4)
    assert len(names) == 3


def test_users_from_reads_dictionaries():
    items: list[dict] = [
        {"name": "a", "password": "x", "role": "reader"},
        {"name": "b", "state": "absent"},
        {"name": "c", "password": "y", "state": None},
    ]
    assert users_from(items) == [User("a", "x"), User("b", None, False), User("c", "y")]
