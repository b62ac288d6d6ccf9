# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, as Distribution answers it through the gate."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable

import jmespath
import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

UPLOADS = "/v2/accounts/refused/blobs/uploads/"


@pytest.fixture(scope="module")
def layout() -> oci.Layout:
    """Return an image that only these tests push."""
    return oci.image("accounts")


def test_writer_pushes_and_reader_pulls(client: Client, writer: Account, reader: Account, layout: oci.Layout) -> None:
    """Two accounts, two rights, one image that arrives as it was sent."""
    pushed = client.push(client.put(layout), "accounts/image:1", writer)
    assert pushed.rc == 0, pushed.stderr
    pulled = client.pull("accounts/image:1", f"oci:{WORK}/accounts-pulled:1", reader)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(f"{WORK}/accounts-pulled") == layout.digests


def test_reader_may_not_push(registry: Registry, client: Client, reader: Account, layout: oci.Layout) -> None:
    """Every way of writing answers 401 to a reader, and nothing of it is stored."""
    assert client.http("/v2/", account=reader).status == 200
    for method, path in (
        ("POST", UPLOADS),
        ("POST", f"{UPLOADS}?mount={layout.digest}&from=accounts/image"),
        ("PUT", "/v2/accounts/refused/manifests/1"),
        ("DELETE", f"/v2/accounts/image/manifests/{layout.digest}"),
        ("PATCH", f"{UPLOADS}00000000-0000-0000-0000-000000000000"),
        ("GET", f"{UPLOADS}00000000-0000-0000-0000-000000000000"),
    ):
        assert client.http(path, "-X", method, account=reader).status == 401, (method, path)
    assert client.push(client.put(layout), "accounts/refused:1", reader).rc != 0
    assert client.http("/v2/accounts/refused/tags/list", account=reader).status == 404
    gate = registry.inside("front", "gate")
    stored = "/var/lib/registry/docker/registry/v2/repositories/accounts"
    assert gate.file(f"{stored}/image").is_directory
    assert not gate.file(f"{stored}/refused").exists


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/"), ("GET", "/v2/accounts/image/manifests/1"), ("GET", "/v2/_catalog"), ("POST", UPLOADS)],
)
@pytest.mark.parametrize("who", [None, Account("pusher", "wrong"), Account("nobody", "wrong")])
def test_strangers_are_refused(client: Client, method: str, path: str, who: Account | None) -> None:
    """No account, a wrong password and an unknown name get the same challenge for reading and for writing."""
    answer = client.http(path, "-X", method, account=who)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="registry.molecule.test"'
    assert jmespath.search("errors[].code", json.loads(answer.body)) == ["UNAUTHORIZED"]


def test_given_password_works(client: Client) -> None:
    """A password from the inventory is the account's password."""
    operator = Account("operator", hashlib.sha256(b"molecule").hexdigest())
    assert client.http(UPLOADS, "-X", "POST", account=operator).status == 202


def test_printed_command_prints_the_passwords(
    cluster: Cluster, playbooks: Playbooks, account: Callable[[str], Account]
) -> None:
    """The command that a run ends with, pasted as it stands there, gives the generated passwords and no other."""
    shown = playbooks.attempt("site", callback="ansible.builtin.default").stdout
    found = re.search(r"Generated passwords: (kubectl .*')", shown)
    assert found, shown
    env = {**os.environ, "KUBECONFIG": cluster.kubeconfig}
    printed = subprocess.run(["bash", "-c", found[1]], env=env, check=True, capture_output=True, text=True)
    assert dict(line.split() for line in printed.stdout.splitlines()) == {
        name: account(name).password for name in ("pusher", "puller")
    }
