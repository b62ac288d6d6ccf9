# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry from which everybody may pull, because its inventory says so."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from collections.abc import Iterator

import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

LAYOUT = oci.image("anonymous")
REPOSITORY = "open/app"
MANIFEST = f"/v2/{REPOSITORY}/manifests/{LAYOUT.digest}"
ACCEPT = ("-H", f"Accept: {LAYOUT.media_type}")
OPEN = {"registry_auth_anonymous_pull": True}


@pytest.fixture(scope="module")
def opened(playbooks: Playbooks, registry: Registry, client: Client) -> Iterator[str]:
    """Open the registry, return what the run said, and close it again afterwards."""
    yield playbooks.run("site", **OPEN).output
    playbooks.run("site")
    # the old pod may serve the last requests that its clients' nodes send it
    eventually(lambda: client.http(MANIFEST, *ACCEPT).status == 401, "strangers are sent away again")


@pytest.fixture(scope="module")
def source(opened: str, client: Client, writer: Account) -> str:
    """Push an image the way skopeo does, which asks at the door first, and return where it came from."""
    eventually(lambda: client.http("/v2/any/tags/list").status == 404, "strangers are let in")
    source = client.put(LAYOUT)
    pushed = client.push(source, f"{REPOSITORY}:1", writer)
    assert pushed.rc == 0, pushed.stderr
    return source


def test_the_run_says_so(opened: str) -> None:
    """Nobody opens a registry without reading it at the end of the run."""
    assert "Everybody who reaches it may pull without an account." in opened


def test_stranger_pulls(source: str, client: Client) -> None:
    """Every byte comes without an account, to a client that asks at the door and to one that does not."""
    pulled = client.pull(f"{REPOSITORY}:1", f"oci:{WORK}/opened:1", None)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(f"{WORK}/opened") == LAYOUT.digests
    assert client.http(MANIFEST, *ACCEPT).status == 200


def test_stranger_and_reader_do_not_push(source: str, client: Client, reader: Account) -> None:
    """The writer knows the pushing accounts and nobody else."""
    for account in (None, reader):
        assert client.push(source, "open/refused:1", account).rc != 0
        assert client.http("/v2/open/refused/blobs/uploads/", "-X", "POST", account=account).status == 401
        assert client.http(MANIFEST, "-X", "DELETE", account=account).status == 401


def test_door_asks_for_a_password_and_checks_it(source: str, client: Client, reader: Account, writer: Account) -> None:
    """Without that clients would not show the password that they push with, and a login would prove nothing."""
    door = client.http("/v2/")
    assert (door.status, door.headers["docker-distribution-api-version"]) == (401, "registry/2.0")
    assert door.headers["www-authenticate"].startswith("Basic realm=")
    assert json.loads(door.body)["errors"][0]["code"] == "UNAUTHORIZED"
    assert client.http("/v2/", account=Account(reader.name, "wrong")).status == 401
    for account in (reader, writer):
        assert client.http("/v2/", account=account).status == 200


def test_list_of_repositories_is_for_accounts(source: str, client: Client, reader: Account) -> None:
    """Who knows a name may pull; the names themselves are not given out."""
    assert client.http("/v2/_catalog").status == 401
    assert client.http("/v2/_catalog?n=5").status == 401
    assert REPOSITORY in client.http("/v2/_catalog", account=reader).body


def test_stranger_pulls_while_the_writer_is_away(source: str, client: Client, registry: Registry) -> None:
    """Neither the door nor a pull needs the writer."""
    writers = len(registry.pods("writer"))
    registry.scale_writer(0)
    try:
        assert client.http("/v2/").status == 401
        assert client.http(MANIFEST, *ACCEPT).status == 200
        assert client.http("/v2/open/app/blobs/uploads/", "-X", "POST").status == 503
    finally:
        registry.scale_writer(writers)


def test_health_agrees(source: str, registry: Registry, client: Client, reader: Account, writer: Account) -> None:
    """health_info finds what it is told to expect, and names an open registry that is not meant to be one."""
    eventually(
        lambda: client.http("/v2/any/blobs/uploads/", "-X", "POST", "--max-time", "8").status == 401,
        "the writer is back",
    )
    address = registry.find("spec.clusterIP", "service", registry.name)
    users = [{"name": one.name, "password": one.password, "role": one.role} for one in (Role(reader), Role(writer))]
    asked = {"url": f"http://{address}", "users": users, "round_trip": True}
    assert health(**asked, anonymous="reader")["healthy"]
    found = health(**asked)
    assert not found["healthy"]
    assert "anybody who reaches this address" in json.dumps(found["problems"])


class Role:
    """An account as health_info takes it."""

    def __init__(self, account: Account) -> None:
        """Take an account whose name says its role."""
        self.name, self.password = account.name, account.password
        self.role = {"puller": "reader", "pusher": "writer"}[account.name]


def health(**options: t.Any) -> dict[str, t.Any]:
    """Return what health_info says."""
    line = ["ansible", "localhost", "-m", "homeport.registry.health_info", "-a", json.dumps(options)]
    env = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, t.Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
    return report


def test_second_run_changes_nothing(source: str, playbooks: Playbooks, registry: Registry) -> None:
    """Being open is a state like any other."""
    before = registry.versions()
    assert playbooks.run("site", **OPEN).changed == []
    assert registry.versions() == before
