# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pushes that are killed, registries that go away, and what another run still has to send.

HOMEPORT_KILLS says how often the pusher is killed at random points.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content
from ansible_collections.homeport.registry.plugins.modules import bundle_push
from tests.unit.bundle.writer import Writer

from .conftest import ACCOUNT, noise
from .proxy import Proxy

KILLS = int(os.environ.get("HOMEPORT_KILLS", "4"))
LARGE = 24 << 20
# What may go out twice: a piece for each of the four uploads under way.
AGAIN = 4 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory, key):
    """A bundle with layers that take a while."""
    writer = Writer()
    base = noise(10, LARGE)
    for number in range(3):
        own = noise(11 + number, LARGE // 2)
        writer.image(f"docker.io/library/large{number}:1", writer.manifest(base, own))
    return writer, writer.write(tmp_path_factory.mktemp("large"), key)


@pytest.fixture
def proxy(server):
    """A proxy in front of the registry that slows down and cuts."""
    made = Proxy(server.port)
    yield made
    made.stop()


@pytest.fixture
def command(key, tmp_path, large):
    """Return a function that starts the module as Ansible would, as a process of its own."""
    started = []

    def command(url, **options):
        arguments = {
            "url": url,
            "username": ACCOUNT[0],
            "password": ACCOUNT[1],
            "bundle": [str(path) for path in large[1]],
            "trusted_keys": [key.public],
            "state_dir": str(tmp_path / "state"),
            "progress_file": str(tmp_path / "progress.json"),
        } | options
        program = (
            "import sys, json\n"
            "from ansible.module_utils import basic\n"
            "basic._ANSIBLE_ARGS = sys.stdin.buffer.read()\n"
            "basic._ANSIBLE_PROFILE = 'legacy'\n"
            f"from {bundle_push.__name__} import main\n"
            "main()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdin
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        process.stdin.close()
        started.append(process)
        return process

    yield command
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def result_of(process):
    output, errors = process.stdout.read(), process.stderr.read()
    process.wait(120)
    assert output, errors.decode()
    return json.loads(output)


def is_whole(session, writer):
    inventory = take_inventory(session)
    assert not inventory.problems
    assert not check_content(session, inventory, "full", fresh=True).problems
    for name, image in writer.images.items():
        assert inventory.repositories[name.rpartition(":")[0]].tags["1"] == image["digest"]


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_a_random_point(command, proxy, session, large, tmp_path, seed):
    """The next run sends no more than what had not arrived."""
    writer, _paths = large
    total = LARGE + 3 * (LARGE // 2)
    point = int(random.Random(seed).uniform(0.02, 0.98) * total)
    proxy.rate = 24 << 20
    process = command(proxy.url)
    while proxy.uploaded < point and process.poll() is None:
        time.sleep(0.005)
    assert process.poll() is None, result_of(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    proxy.rate = None
    result = result_of(command(proxy.url))
    assert result["complete"] is True, result
    is_whole(session, writer)
    assert proxy.uploaded - total <= AGAIN, f"killed after {point} of {total}, {proxy.uploaded} went through"
    assert list((tmp_path / "state").iterdir()) == []
    again = result_of(command(proxy.url))
    assert (again["changed"], again["totals"]["wire"]) == (False, 0)


def test_the_journal_is_its_owners(command, proxy, tmp_path):
    proxy.rate = 24 << 20
    process = command(proxy.url)
    while proxy.uploaded < LARGE // 2 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    (journal,) = (tmp_path / "state").glob("*.json")
    assert journal.stat().st_mode & 0o777 == 0o600
    assert "/blobs/uploads/" in journal.read_text()
    assert ACCOUNT[1] not in journal.read_text()


def test_two_at_once_do_not_meet(command, proxy, session, large):
    writer, _paths = large
    proxy.rate = 48 << 20
    results = [result_of(process) for process in [command(proxy.url), command(proxy.url)]]
    assert [one["complete"] for one in results] == [True, True]
    assert sorted(bool(one.get("warnings")) for one in results) == [False, True]
    is_whole(session, writer)


def test_a_registry_that_restarts(command, proxy, server, session, large):
    writer, _paths = large
    proxy.rate = 24 << 20
    process = command(proxy.url)
    while proxy.uploaded < LARGE and process.poll() is None:
        time.sleep(0.005)
    server.stop()
    time.sleep(1)
    server.start()
    proxy.rate = None
    result = result_of(process)
    assert result["complete"] is True, result
    is_whole(session, writer)
    assert proxy.uploaded - LARGE - 3 * (LARGE // 2) <= AGAIN


def test_connections_that_break_all_the_time(push, proxy, session, large):
    """Every connection dies after some megabytes; what arrived counts."""
    writer, paths = large
    proxy.cut_after = 5 << 20
    result = push(paths, url=proxy.url)
    assert result["complete"] is True, result
    assert result["totals"]["least_connections"] < 4
    proxy.cut_after = None
    is_whole(session, writer)


def test_a_fence_that_is_waited_for(push, proxy, session, large):
    """The writer is away while garbage is collected: 503 with Retry-After, in the middle of everything."""
    writer, paths = large
    proxy.rate = 20 << 20
    fenced = []

    def fence():
        while proxy.uploaded < LARGE:
            time.sleep(0.005)
        proxy.busy(seconds=4, retry_after=1)
        fenced.append(time.monotonic())

    thread = threading.Thread(target=fence)
    thread.start()
    result = push(paths, url=proxy.url)
    thread.join()
    assert fenced
    assert result["complete"] is True, result
    assert proxy.refused > 0
    # Who is told to come back later comes with less.
    assert result["totals"]["least_connections"] < 4
    is_whole(session, writer)


def test_a_proxy_with_a_limit_for_bodies(push, proxy, session, large):
    writer, paths = large
    proxy.limit = 1 << 20
    result = push(paths, url=proxy.url)
    assert result["complete"] is True, result
    assert proxy.largest <= 1 << 20
    is_whole(session, writer)


def test_chunks_when_asked_for(push, proxy, session, large):
    writer, paths = large
    assert push(paths, url=proxy.url, chunk_size=3 << 20)["complete"] is True
    assert proxy.largest == 3 << 20
    is_whole(session, writer)


def test_a_registry_that_stays_busy(push, proxy, large):
    _writer, paths = large
    proxy.busy(seconds=600, retry_after=1, reads=False)
    began = time.monotonic()
    result = push(paths, url=proxy.url, busy_timeout=3)
    assert result["failed"]
    assert "503" in result["msg"]
    assert "goes on where it stopped" in result["msg"]
    assert time.monotonic() - began < 60


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk with 30 MB, and a function that makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "small", folder], check=True)
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=300m", folder], check=True)
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(push, start, connect, small_disk, large):
    folder, enlarge = small_disk
    writer, paths = large
    server = start(users=[ACCOUNT], store=folder / "store")
    began = time.monotonic()
    result = push(paths, url=server.url)
    assert result["failed"]
    assert "status 500" in result["msg"]
    assert "a full volume shows like this" in result["msg"]
    assert {one["status"] for one in result["images"]} == {"failed"}
    assert time.monotonic() - began < 300
    enlarge()
    assert push(paths, url=server.url)["complete"] is True
    is_whole(connect(server.url), writer)


def test_an_upload_that_stalls(push, proxy, large):
    """A registry that takes bytes and never answers is given up."""
    _writer, paths = large
    proxy.swallow = True
    began = time.monotonic()
    result = push(paths, url=proxy.url, timeout=1, stall_timeout=4)
    assert result["failed"]
    assert "no byte has moved" in result["msg"] or "no answer in time" in result["msg"]
    assert time.monotonic() - began < 120
