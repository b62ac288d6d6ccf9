# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes on which something hangs, cannot be written, or is at work already."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import typing as t
from collections.abc import Iterator

import pytest

from tests.lab.nodes.machine import Machine


@pytest.fixture
def silent() -> Iterator[dict[str, t.Any]]:
    """Return a registry without TLS that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        name = f"depot.test:{listener.getsockname()[1]}"
        yield {"name": name, "plain_http": True, "image": f"{name}/team/app:1"}


def test_two_runs_on_one_node_do_not_take_each_other_for_interrupted(machine: Machine, silent):
    first: dict[str, t.Any] = {}

    def pull() -> None:
        first.update(machine.attempt(check=False, registries=[silent], pull_timeout=8))

    running = threading.Thread(target=pull)
    running.start()
    deadline = time.monotonic() + 20
    while not machine.record.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    other = {"name": "other.test:5000", "insecure": True}
    second = machine.run(registries=[other], verify="none")
    running.join()
    # The one has put back what was its own, the other has kept what is.
    assert "no end within 8 seconds" in first["got"] or "got no answer in time" in first["got"]
    assert "Every file is as it was before." in first["msg"]
    hosts = machine.root / "other.test:5000" / "hosts.toml"
    assert second["actions"] == [f"create {hosts}"]
    assert list(machine.root.rglob("hosts.toml")) == [hosts]
    assert list(json.loads(machine.record.read_text())["owned"]) == ["other.test:5000"]
    assert not machine.run(registries=[other], verify="none")["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_configuration_on_a_file_system_that_cannot_be_written(build, programs, check):
    machine = build(programs, reads=False)
    folder = str(machine.config.parent)
    for words in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,ro,bind", folder]):
        done = machine.inside(*words)
        assert not done.returncode, done.stderr
    options = {"verify": "none", "restart": "now", "restart_command": machine.restart_command}
    failed = machine.refuse(check=check, registries=[{"name": "other.test:5000", "insecure": True}], **options)
    assert (failed["where"], failed["got"]) == (folder, "Read-only file system")


def test_a_containerd_that_hangs_is_named_and_not_the_registry(machine: Machine, depot):
    os.kill(machine.pid, signal.SIGSTOP)
    try:
        failed = machine.refuse(registries=[depot.wish(image=depot.image)], pull_timeout=4)
    finally:
        os.kill(machine.pid, signal.SIGCONT)
    assert "the runtime itself does not answer" in failed["got"]
    assert "journalctl -u containerd" in failed["remedy"]
    assert "Every file is as it was before." in failed["msg"]
