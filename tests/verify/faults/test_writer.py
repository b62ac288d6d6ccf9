# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer is killed, deleted and scaled away under pushes: what was acknowledged stays, the rest can be repeated."""

from __future__ import annotations

import random
import time

from tests.verify.clients import WORK, Client
from tests.verify.cluster import eventually
from tests.verify.faults.pushing import ROUNDS, PushLoop
from tests.verify.faults.sessions import OCTETS, Session
from tests.verify.registry import Account, Registry

REPOSITORY = "faults/sessions"
FILE = f"{WORK}/blob"
CHUNK = 1 << 20


def _kill_writer(registry: Registry) -> None:
    """Kill the writer's process the hard way. The kubelet starts it again in the same pod."""
    restarts = ("status.containerStatuses[0].restartCount", "pod", registry.pod("writer"))
    before = registry.find(*restarts)
    killed = registry.node("writer").run("kill -9 %s", str(registry.process("writer", "registry")))
    assert killed.rc == 0, killed.stderr
    eventually(lambda: registry.find(*restarts) > before, "the writer is started again")


def _delete_writer(registry: Registry) -> None:
    """Delete the writer's pod without any grace. The Deployment makes another one."""
    registry.kubectl("delete", "pod", registry.pod("writer"), "--grace-period=0", "--force")
    eventually(lambda: registry.pods("writer"), "a new writer pod")


def _until_pushable(registry: Registry, client: Client) -> None:
    registry.wait_ready(registry.writer)
    client.wait_open(seconds=60)


def _random_file(client: Client, size: int) -> str:
    """Fill FILE with so many random bytes and return their digest."""
    made = client.script('head -c "$1" /dev/urandom > "$2" && sha256sum < "$2"', str(size), FILE)
    return f"sha256:{made.split()[0]}"


def test_acknowledged_pushes_survive_killed_writers(
    registry: Registry, client: Client, writer: Account, reader: Account
) -> None:
    """Pods and processes are killed at random moments of a series of pushes, each of them repeated until it works."""
    with PushLoop(client, writer, "faults/killed") as pushing:
        for _round in range(ROUNDS):
            for kill in (_kill_writer, _delete_writer):
                time.sleep(random.uniform(0, 1.5))
                kill(registry)
                _until_pushable(registry, client)
                pushing.wait_for_more(len(pushing.acknowledged()))
    assert pushing.refusals(), "no push was disturbed"
    assert pushing.verify(reader) >= 2 * ROUNDS + 1


def test_nothing_is_acknowledged_without_a_writer(
    registry: Registry, client: Client, writer: Account, reader: Account
) -> None:
    """The writer is scaled away under pushes: the one under way may end either way, after it none is acknowledged."""
    with PushLoop(client, writer, "faults/scaled") as pushing:
        for _round in range(ROUNDS):
            time.sleep(random.uniform(0, 1.5))
            registry.scale_writer(0)
            # A push that starts now is refused; the last one before may still have to write down that it was not.
            pushing.wait_for_refusals(1)
            before = pushing.acknowledged()
            pushing.wait_for_refusals(2)
            assert pushing.acknowledged() == before
            registry.scale_writer(1)
            pushing.wait_for_more(len(before))
    assert pushing.verify(reader) >= ROUNDS + 1


def test_session_survives_its_writer(registry: Registry, client: Client, writer: Account, reader: Account) -> None:
    """A client that was between two chunks when the writer was killed goes on where it was."""
    digest = _random_file(client, 2 * CHUNK)
    halves = 'head -c "$2" "$1" > "$1-first" && tail -c "+$(($2 + 1))" "$1" > "$1-second"'
    client.script(halves, FILE, str(CHUNK))
    session = Session(client, writer, REPOSITORY)
    first = session.patch(f"{FILE}-first")
    assert (first.status, first.headers["range"]) == (202, f"0-{CHUNK - 1}")
    _delete_writer(registry)
    _until_pushable(registry, client)
    state = session.state()
    assert (state.status, state.headers["range"]) == (204, f"0-{CHUNK - 1}")
    assert session.patch(f"{FILE}-second").status == 202
    assert session.finish(digest).status == 201
    fetch = 'curl -sS -u "$1" "$2" | sha256sum'
    url = f"http://{registry.host}/v2/{REPOSITORY}/blobs/{digest}"
    assert client.script(fetch, str(reader), url).split()[0] == digest[7:]


def test_half_a_chunk_is_not_acknowledged(registry: Registry, client: Client, writer: Account, reader: Account) -> None:
    """The writer is killed in the middle of a chunk: the client learns it, nothing is served, a new session works."""
    digest = _random_file(client, 8 * CHUNK)
    path = f"/v2/{REPOSITORY}/blobs/{digest}"
    sending = Session(client, writer, REPOSITORY).patch_slowly(FILE)
    time.sleep(1.5)
    assert sending.poll() is None, "the chunk was sent before the writer could be killed"
    _kill_writer(registry)
    said, _unused = sending.communicate(timeout=60)
    assert not said.endswith("202"), said
    _until_pushable(registry, client)
    assert client.http(path, "-o", "/dev/null", account=reader).status == 404
    again = Session(client, writer, REPOSITORY).finish(digest, *OCTETS, "-T", FILE)
    assert again.status == 201, again
    assert client.http(path, "-o", "/dev/null", account=reader).status == 200
