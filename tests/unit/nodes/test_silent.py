# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs and engines of a node that hang, ignore being ended, or answer nonsense; and another run at work there."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import threading
import time
import types
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _node_cri as cri
from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_record import hold
from ansible_collections.homeport.registry.plugins.module_utils._node_restart import Change
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import Runtime
from ansible_collections.homeport.registry.plugins.module_utils._node_trust import Rollout

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
IMAGE = "registry.test/app:1"


@pytest.fixture
def starting(monkeypatch):
    """Let what belongs to the module run programs from here."""

    def start(words: list[str], **_options: t.Any) -> tuple[int, str, str]:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    monkeypatch.setattr(process, "_starter", [start])


@pytest.mark.usefixtures("starting")
@pytest.mark.parametrize("script", ["sleep 60", "trap '' TERM; while :; do sleep 0.2; done"], ids=["hangs", "stays"])
def test_a_program_that_hangs_is_called_that(script):
    begun = time.monotonic()
    done = process.run(["sh", "-c", script], timeout=0.5)
    assert (done.code, done.said) == (124, "no end within 0.5 seconds")
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("starting")
def test_a_program_that_is_killed_at_once_did_not_hang():
    assert process.run(["sh", "-c", "kill -9 $$"], timeout=30).code not in (0, 124)


@pytest.mark.usefixtures("starting")
def test_a_containerd_that_hangs_is_not_one_without_cri(tmp_path, monkeypatch):
    program = tmp_path / "ctr"
    program.write_text("#!/bin/sh\necho 'ctr: failed to dial: context deadline exceeded' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(process, "find_program", lambda name, *more: str(program) if name == "ctr" else None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        with pytest.raises(NodeError) as caught:
            cri.pull(runtime("containerd", str(tmp_path / "sock")), IMAGE, None, 5)
    assert "the runtime itself does not answer: ctr: failed to dial" in caught.value.got
    assert "CRI is off" not in caught.value.got


def runtime(kind: str, endpoint: str) -> Runtime:
    return Runtime(kind, (24, 0, 0), endpoint, os.getpid(), "", "/usr/bin/true", "", "", "/etc/docker/certs.d", "", {})


@contextlib.contextmanager
def docker(folder, behave: Callable[[socket.socket, threading.Event], object]) -> Iterator[Runtime]:
    """Listen where Docker does and treat each connection like this."""
    over = threading.Event()

    def one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            if sock.recv(65536):
                behave(sock, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "docker.sock"))
        listener.listen()
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield runtime("docker", str(folder / "docker.sock"))
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()


def test_a_pull_of_docker_that_goes_on_and_on_is_given_up(tmp_path):
    pings: list[bool] = []

    def progress(sock: socket.socket, over: threading.Event) -> None:
        if pings:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
            return
        pings.append(True)
        sock.sendall(JSON)
        until = time.monotonic() + 10
        while not over.wait(0.1) and time.monotonic() < until:
            sock.sendall(b'15\r\n{"status":"Waiting"}\n\r\n')

    begun = time.monotonic()
    with (
        docker(tmp_path, progress) as found,
        pytest.raises(NodeError, match="got no answer in time: no end within 1 seconds"),
    ):
        cri.pull(found, IMAGE, None, 1)
    assert time.monotonic() - begun < 5


def test_a_docker_that_says_nothing_is_called_that(tmp_path):
    def silent(_sock: socket.socket, over: threading.Event) -> None:
        over.wait()

    with docker(tmp_path, silent) as found, pytest.raises(NodeError, match="the runtime itself does not answer"):
        cri.pull(found, IMAGE, None, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\n\r\n<html>Forbidden</html>\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"status"',
    ],
    ids=["page", "half"],
)
def test_an_answer_that_is_none_of_docker_proves_nothing(tmp_path, answer):
    with docker(tmp_path, lambda sock, _over: sock.sendall(answer)) as found:
        with pytest.raises(NodeError, match=r"403|no answer of Docker"):
            cri.pull(found, IMAGE, None, 2)
        with pytest.raises(NodeError, match=r"it does not name registry\.test"):
            cri.wait_for_lists(found, ["registry.test"], 0.5)


def test_one_run_at_a_time(tmp_path):
    record = str(tmp_path / "homeport" / "node_trust.json")
    first = hold(record, 1)
    with pytest.raises(NodeError, match=r"another run is at work here, and was not done after 0.3 seconds"):
        hold(record, 0.3)
    # The directory of the record appears in the middle of a run.
    (tmp_path / "homeport").mkdir()
    with pytest.raises(NodeError, match="another run"):
        hold(record, 0.1)
    threading.Timer(0.3, os.close, [first]).start()
    os.close(hold(record, 5))
    assert list(tmp_path.iterdir()) == [tmp_path / "homeport"]


@pytest.mark.usefixtures("starting")
@pytest.mark.parametrize(
    ("script", "got"),
    [
        ("echo 'Failed to connect to bus: Connection refused' >&2; exit 1", "Failed to connect to bus"),
        ("sleep 60", "no end within 0.5 seconds"),
    ],
    ids=["fails", "hangs"],
)
def test_a_systemd_that_does_not_answer_is_no_unit_that_ends_containers(tmp_path, monkeypatch, script, got):
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(process, "find_program", lambda *names: str(program))
    monkeypatch.setattr(process, "unit_of", lambda pid: "containerd.service")
    run = process.run
    monkeypatch.setattr(process, "run", lambda command, **_more: run(command, timeout=0.5))
    with pytest.raises(NodeError, match=rf"ask systemd.*{got}"):
        process.service_of(os.getpid(), ())


@pytest.mark.usefixtures("starting")
def test_a_restart_by_a_command_of_the_user_is_not_looked_for_in_a_journal():
    service = process.service_of(os.getpid(), ["sh", "-c", "exit 3"])
    assert service is not None
    with pytest.raises(NodeError, match="exit code 3") as caught:
        service.restart_now(5)
    assert "journalctl" not in caught.value.remedy
    assert "restart_command" in caught.value.remedy


def test_a_runtime_that_has_ended_meanwhile_is_named():
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    rollout = Rollout.__new__(Rollout)
    rollout.runtime = dataclasses.replace(runtime("crio", "/run/crio/crio.sock"), pid=ended.pid)
    change = Change("/etc/containers/registries.conf.d/90-homeport-a.conf", None, None)
    rollout.plan = t.cast(t.Any, types.SimpleNamespace(changes=[change], restart=None, reload=None))
    with pytest.raises(NodeError, match=rf"process {ended.pid}.*No such process") as caught:
        rollout._reload()
    assert "journalctl -u crio" in caught.value.remedy
