# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery from killed engines: whose process ids and sockets are those?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import daemon, layout, processes, scratch


def process(proc: Path, pid: int, *words: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(b"".join(f"{word}\0".encode() for word in words))


def test_a_recorded_process_must_still_be_the_program(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    process(proc, 10, "/usr/sbin/dockerd", "--data-root=/x")
    process(proc, 11, "vi", "dockerd")
    pidfile = tmp_path / "pid"
    for content, found in (("10\n", 10), ("11\n", None), ("12\n", None), ("junk", None)):
        pidfile.write_text(content)
        assert processes.recorded(pidfile, "dockerd", proc) == found
    assert processes.recorded(tmp_path / "absent", "dockerd", proc) is None


def test_only_the_engines_own_processes_are_swept(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "sys").mkdir(parents=True)
    process(proc, 20, "/usr/sbin/dockerd", "--exec-root=/run/homeport-lab/exec")
    process(proc, 21, "containerd", "--config", "/run/homeport-lab/exec/containerd.toml")
    process(proc, 22, "/usr/sbin/dockerd", "--exec-root=/run/docker")
    process(proc, 23, "tail", "-f", "/run/homeport-lab/log")
    process(proc, 24)
    assert processes.running(daemon.PROGRAMS, "/run/homeport-lab/", proc) == [20, 21]


def test_processes_in_the_engines_containers_are_found_at_any_depth(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    ours, other = "a" * 64, "b" * 64
    for pid, group in (
        (30, f"/docker/{ours}"),
        (31, f"/docker/{ours}/kubelet/pod1"),
        (32, f"/docker/{other}"),
        (33, "/"),
    ):
        process(proc, pid, "init")
        (proc / str(pid) / "cgroup").write_text(f"4:memory:{group}\n1:name=systemd:/\n")
    process(proc, 34, "gone")
    assert processes.in_containers([ours], proc) == [30, 31]
    assert processes.in_containers([], proc) == []


def test_the_engines_containers_are_known_by_its_runtime_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "EXEC_ROOT", tmp_path)
    tasks = tmp_path / "containerd" / "daemon" / "io.containerd.runtime.v2.task" / "moby"
    (tasks / ("c" * 64)).mkdir(parents=True)
    assert daemon.containers() == ["c" * 64]


def test_a_sweep_ends_what_runs_in_containers_whose_engine_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An init that outlives its engine keeps its network address, and a new node may be given the same."""
    monkeypatch.setattr(layout, "RUN", tmp_path)
    monkeypatch.setattr(daemon, "EXEC_ROOT", tmp_path / "exec")
    monkeypatch.setattr(daemon, "containers", lambda: ["d" * 64])
    with subprocess.Popen(["sleep", "60"]) as init:
        monkeypatch.setattr(
            processes, "in_containers", lambda ids: [init.pid] if ids == ["d" * 64] and init.poll() is None else []
        )
        daemon.sweep()
        assert init.wait(5) == -9


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_process_is_ended_even_when_it_does_not_want_to(stubborn: bool) -> None:
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if stubborn else ""
    code = f"import signal,time;{ignore}print(1,flush=True);time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        assert processes.alive(running.pid)
        assert processes.end(running.pid, patience=0.3)
        assert running.wait(5) == (-9 if stubborn else -15)
        assert processes.end(running.pid)


@pytest.mark.parametrize(
    ("bounding", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False), ("0000000001000000", False)]
)
def test_the_wrapper_is_only_for_machines_without_the_capability(bounding: str, lacks: bool) -> None:
    assert daemon.lacks_sys_resource(f"CapEff:\t0\nCapBnd:\t{bounding}\nCapAmb:\t0\n") is lacks


def test_the_engine_has_everything_of_its_own() -> None:
    plain = daemon.command(Path("/data"), wrap=False)
    for option in ("--data-root=/data", "--exec-root=", "--pidfile=", "--host=unix:///run/homeport-lab/"):
        assert any(word.startswith(option) for word in plain)
    assert not any("runtime" in word for word in plain)
    wrapped = daemon.command(Path("/data"), wrap=True)
    (added,) = (word for word in wrapped if word.startswith("--add-runtime="))
    assert Path(added.rpartition("=")[2]).stat().st_mode & 0o111


def test_what_is_mounted_below_is_found_deepest_first() -> None:
    text = "".join(
        f"{number} 1 0:1 / {point} rw - tmpfs tmpfs rw\n"
        for number, point in enumerate(("/", "/run", "/run/lab", "/run/lab/a", "/run/lab/a/b", "/run/labour"))
    )
    assert scratch.mounts_below(Path("/run/lab"), text) == ["/run/lab/a/b", "/run/lab/a"]
