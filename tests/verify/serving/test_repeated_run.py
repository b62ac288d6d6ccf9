# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What running the playbook again does: nothing, and in check mode not even that."""

from __future__ import annotations

import json

import yaml

from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry


def test_second_run_changes_nothing(registry: Registry, playbooks: Playbooks) -> None:
    """No task reports a change and no object is written."""
    before = registry.versions()
    assert playbooks.run("site").changed == []
    assert playbooks.run("site", "--check").changed == []
    assert registry.versions() == before


def test_check_mode_tells_and_does_not_do(registry: Registry, playbooks: Playbooks) -> None:
    """A change that is asked for in check mode is reported where it would happen, and nothing is written."""
    before = registry.versions()
    run = playbooks.run("site", "--check", "--diff", registry_server_log_level="debug", registry_server_replicas=1)
    assert run.changed == ["homeport.registry.registry_server : Apply the server"]
    diff = json.dumps(run.result("Apply the server")["diff"])
    assert "level: debug" in diff
    assert registry.versions() == before


def test_diff_shows_no_secret(registry: Registry, playbooks: Playbooks, writer: Account, reader: Account) -> None:
    """A new account changes Secrets; the difference is shown without what they hold."""
    before = registry.versions()
    new = {"name": "visitor", "role": "reader", "password": "a-password-that-nobody-may-see"}
    users = [{"name": "pusher", "role": "writer"}, {"name": "puller", "role": "reader"}, new]
    run = playbooks.run("site", "--check", "--diff", registry_auth_users=users)
    assert run.changed == ["homeport.registry.registry_auth : Apply the accounts"]
    http = registry.find("data.secret", "secret", f"{registry.name}-http")
    for secret in (new["password"], writer.password, reader.password, "$2y$", http):
        assert secret not in run.output
    diff = run.result("Apply the accounts")["diff"]
    shown = {entry["after_header"]: yaml.safe_load(entry["after"]) for entry in diff}
    changed = shown[f"Secret {registry.namespace}/{registry.name}-htpasswd"]["data"]
    assert changed == {"htpasswd": "(hidden, new value)"}
    # The server keeps values in base64, which hides them from nobody.
    hidden = [value for document in shown.values() for value in document.get("data", {}).values()]
    assert all(value.startswith("(hidden") for value in hidden), hidden
    assert registry.versions() == before
