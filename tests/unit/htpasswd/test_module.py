# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module through its real entry point, on real files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from passlib.hash import bcrypt

from ansible_collections.homeport.registry.plugins.modules import htpasswd

# Known answer: password "test", cost 4.
ALICE = "alice:$2y$04$5BJqKfqMQvV7nS.yUguNcueVirQqDBGaLXSqj.rs.pZPlNR0UX/HK\n"


@pytest.fixture
def run(run_module):
    def call(**options):
        return run_module(htpasswd, **{"cost": 4} | options)

    return call


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def user(name: str, password: str | None = None, **more: str) -> dict:
    return {"name": name, **({"password": password} if password else {}), **more}


def test_create_then_again_then_change_then_remove(run, tmp_path):
    path = tmp_path / "htpasswd"
    options = {"path": str(path), "users": [user("alice", "a secret"), user("bob", "b secret")]}

    would = run(**options, check=True)
    assert would["changed"]
    assert not path.exists()

    created = run(**options)
    assert created["changed"]
    assert created["actions"] == would["actions"] == ["add alice", "add bob"]
    assert mode_of(path) == "0o600"
    assert bcrypt.verify("a secret", path.read_text().split("\n")[0].split(":")[1])

    inode, text = path.stat().st_ino, path.read_bytes()
    for check in (True, False):
        again = run(**options, check=check)
        assert not again["changed"]
        assert [entry["action"] for entry in again["users"]] == ["kept", "kept"]
        assert (path.stat().st_ino, path.read_bytes()) == (inode, text)

    change = {"path": str(path), "users": [user("alice", "other one"), user("bob", state="absent")]}
    would = run(**change, check=True, diff=True)
    assert would["changed"]
    assert path.read_bytes() == text
    changed = run(**change, diff=True)
    assert changed["diff"] == would["diff"] == {"before": "alice\nbob\n", "after": "alice (new password)\n"}
    assert changed["users"] == [
        {"name": "alice", "action": "updated", "reason": "new password"},
        {"name": "bob", "action": "removed", "reason": ""},
    ]
    assert path.stat().st_ino != inode
    assert not run(**change)["changed"]


def test_no_result_holds_a_password_or_a_hash(run, tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text(ALICE)
    result = run(path=str(path), users=[user("alice", "top secret")], diff=True)
    assert "top secret" not in json.dumps(result)
    assert "$2" not in json.dumps(result)


@pytest.mark.parametrize(("given", "expected"), [(None, "0o600"), ("0640", "0o640"), ("u=rw,g=r,o=", "0o640")])
def test_mode_is_set_on_a_new_and_on_an_existing_file(run, tmp_path, given, expected):
    for existing in (None, 0o666):
        path = tmp_path / f"htpasswd-{existing}"
        if existing:
            path.write_text(ALICE)
            path.chmod(existing)
        options = {"path": str(path), "users": [user("alice", "test")]} | ({"mode": given} if given else {})
        assert run(**options, check=True)["changed"]
        assert run(**options)["changed"]
        assert mode_of(path) == expected
        assert not run(**options)["changed"]


def test_new_hashes_are_never_readable_by_others(run, tmp_path, monkeypatch):
    path = tmp_path / "htpasswd"
    seen = []
    move = AnsibleModule.atomic_move

    def watched(self, source, target, **options):
        move(self, source, target, **options)
        seen.append((mode_of(path), os.path.exists(source)))

    monkeypatch.setattr(AnsibleModule, "atomic_move", watched)
    run(path=str(path), users=[user("alice", "one")])
    path.chmod(0o644)
    run(path=str(path), users=[user("alice", "two")])
    assert seen == [("0o600", False), ("0o600", False)]


def test_a_link_is_followed(run, tmp_path):
    target, link = tmp_path / "real", tmp_path / "link"
    target.write_text(ALICE)
    link.symlink_to(target)
    result = run(path=str(link), users=[user("bob", "x1")])
    assert link.is_symlink()
    assert target.read_text().startswith(ALICE + "bob:")
    assert result["path"] == str(target)


def test_bytes_that_are_not_text_survive(run, tmp_path):
    path = tmp_path / "htpasswd"
    path.write_bytes(b"# caf\xe9\r\n" + ALICE.encode())
    assert run(path=str(path), users=[user("bob", "x1")])["changed"]
    assert path.read_bytes().startswith(b"# caf\xe9\r\n" + ALICE.encode() + b"bob:")


def test_an_empty_exclusive_list_empties_the_file(run, tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text("# note\n" + ALICE)
    result = run(path=str(path), users=[], exclusive=True)
    assert path.read_text() == ""
    assert result["actions"] == ["remove alice"]


def test_text_to_text(run):
    new = run(content=ALICE, users=[user("bob", "b secret")])
    assert new["changed"]
    assert new["content"].startswith(ALICE + "bob:$2y$04$")
    again = run(content=new["content"], users=[user("bob", "b secret")])
    assert not again["changed"]
    assert again["content"] == new["content"]
    assert "path" not in again


def test_a_password_that_would_damage_the_returned_text_is_refused(run):
    result = run(content="", users=[user("registry-admin", "registry")])
    assert result["failed"]
    assert "would mask it" in result["msg"]


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"users": []}, "one of the following is required: path, content"),
        ({"users": [], "path": "x", "content": ""}, "mutually exclusive"),
        ({"content": ""}, "missing required arguments: users"),
        ({"content": "", "users": [user("a")]}, "password"),
        ({"content": "", "users": [user("a", "x" * 73)]}, "73 bytes"),
        ({"content": "", "users": [user("a:b", "x1")]}, "colon"),
        ({"content": "", "users": [user("a", "x1"), user("a", "x2")]}, "listed twice"),
        ({"content": "", "users": [user("a", "x1")], "cost": 18}, "out of range"),
        ({"content": "x:y\n", "users": []}, "line 1"),
    ],
)
def test_bad_options_fail_with_the_reason(run, options, saying):
    result = run(**options)
    assert result["failed"]
    assert saying in result["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_bad_files_fail_and_stay(run, tmp_path, check):
    bad = tmp_path / "bad"
    bad.write_text("# one\ncarol:hunter2\n")
    result = run(path=str(bad), users=[user("a", "x1")], check=check)
    assert result["failed"]
    assert "line 2" in result["msg"]
    assert "carol" in result["got"]
    assert "hunter2" not in json.dumps(result)
    assert bad.read_text() == "# one\ncarol:hunter2\n"
    assert "Is a directory" in run(path=str(tmp_path), users=[], check=check)["msg"]


def test_a_missing_directory_fails_and_is_a_warning_in_check_mode(run, tmp_path):
    options = {"path": str(tmp_path / "no" / "htpasswd"), "users": [user("a", "x1")]}
    remedy = f"Create {tmp_path / 'no'} first"
    would = run(**options, check=True)
    assert would["changed"]
    assert remedy in str(would["warnings"])
    result = run(**options)
    assert result["failed"]
    assert remedy in result["msg"]
