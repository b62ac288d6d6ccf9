# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where containerd surprises: each surprise is shown by a real containerd, together with what keeps nodes from it.

More of them are tested with what they belong to: one file that every version reads (test_trust.py), a table without
which older versions drop hosts.toml, mirrors that get the passwords of others (test_mirrors.py), lists of directories
(test_config.py), mirrors that hang (test_refusals.py).
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _node_containerd as containerd
from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from tests.lab.nodes.machine import Machine, Programs

UPSTREAM = "upstream.test"


def dumped(machine: Machine) -> str:
    """Return what containerd would start with."""
    done = machine.inside(machine.programs.containerd, "--config", str(machine.config), "config", "dump")
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what belongs to the module run programs from here."""

    def start(words: list[str], **_options: t.Any) -> tuple[int, str, str]:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    monkeypatch.setattr(process, "_starter", [start])


@pytest.mark.usefixtures("starting")
@pytest.mark.parametrize("programs", ["old", "between", "new"], indirect=True)
def test_a_drop_in_with_one_setting_takes_all_others_away_before_version_2(build, programs):
    machine = build(programs, reads=False, start=False)
    drop_in = machine.config.parent / "conf.d" / "50-registry.toml"
    drop_in.parent.mkdir()
    drop_in.write_text(f"version = {programs.file_version}\n{machine.with_root()}")
    before = containerd.effective(programs.containerd, str(machine.config), programs.version)
    candidate = f'imports = ["{drop_in.parent}/*.toml"]\n{machine.usual()}'
    compared = (programs.containerd, str(machine.config), candidate, before, str(machine.root))
    if programs.version >= (2,):
        containerd.validate(*compared)
        return
    # Which is why the one file is changed in place, and what comes of it compared with what was there.
    with pytest.raises(NodeError, match=r"would also change .*snapshotter"):
        containerd.validate(*compared)


def older_file_with_a_newer_drop_in(machine: Machine) -> Path:
    """Start containerd with a file of version 2, let it import a folder, and return a drop-in that it has not read."""
    folder = machine.config.parent / "conf.d"
    folder.mkdir()
    text = machine.usual().replace("version = 3", "version = 2")
    text = re.sub(r"\[plugins\.\S*cri\S*\]", '[plugins."io.containerd.grpc.v1.cri".containerd]', text)
    text += f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{machine.root}"\n'
    machine.config.write_text(f'imports = ["{folder}/*.toml"]\n{text}')
    machine.start()
    assert str(machine.root) in dumped(machine)
    drop_in = folder / "99-vendor.toml"
    drop_in.write_text('version = 3\n[plugins."io.containerd.cri.v1.runtime"]\n  enable_cdi = true\n')
    return drop_in


def test_a_drop_in_of_a_newer_version_takes_all_settings_of_an_older_file_away(build, between, depot):
    machine = build(between, start=False)
    drop_in = older_file_with_a_newer_drop_in(machine)
    # It says nothing about images.
    assert str(machine.root) not in dumped(machine)
    running = machine.pid
    how = {"registries": [depot.wish()], "restart": "now", "restart_command": machine.restart_command}
    failed = machine.refuse(**how)
    assert f"{drop_in} is of a newer version than this file" in failed["got"]
    assert "config migrate" in failed["remedy"]
    assert machine.pid == running
    # What the message advises helps, and config_path is in force again.
    drop_in.write_text('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  enable_cdi = true\n')
    machine.run(**how)


def test_a_drop_in_of_a_newer_version_keeps_later_releases_from_starting(build, new, depot):
    machine = build(new, start=False)
    older_file_with_a_newer_drop_in(machine)
    failed = machine.refuse(registries=[depot.wish()])
    assert "drop-in config version 3 higher than root config version 2" in failed["got"]
    assert "would not start again" in failed["remedy"]


@pytest.mark.parametrize(
    ("table", "line", "stops"), [("tls", "ca_file = '/a.crt'", True), ("auth", "auth = 'x'", False)]
)
def test_certificates_written_the_old_way_stop_version_1_and_passwords_do_not(build, old, depot, table, line, stops):
    machine = build(old, start=False)
    config = f'[plugins."io.containerd.grpc.v1.cri".registry.configs."a.test".{table}]\n  {line}\n'
    machine.config.write_text(machine.usual(machine.with_root() + config))
    if not stops:
        machine.start()
        machine.run(registries=[depot.wish()])
        return
    with pytest.raises(AssertionError):
        machine.start_and_wait(seconds=3)
    failed = machine.refuse(registries=[depot.wish()])
    assert "configs.a.test.tls" in failed["got"]
    assert "turns CRI off" in failed["got"]


def without_crictl(programs: Programs) -> Programs:
    """Return the same for a node that lacks crictl; ctr pulls without CRI."""
    return Programs(programs.containerd, programs.ctr, "", programs.version)


@pytest.mark.parametrize(("which", "crictl"), [("old", False), ("new", True)])
def test_a_containerd_that_runs_without_cri_after_a_restart_is_not_ready(build, request, depot, which, crictl):
    programs: Programs = request.getfixturevalue(which)
    machine = build(programs if crictl else without_crictl(programs), reads=False)
    # Written after its start. "config dump" takes it; with it CRI does not start, and containerd does.
    text = machine.config.read_text().replace('snapshotter = "native"', 'snapshotter = "none"')
    machine.config.write_text(text)
    how = {"restart": "now", "restart_command": machine.restart_command, "ready_timeout": 3}
    failed = machine.attempt(check=False, registries=[depot.wish(image=depot.image)], **how)
    assert failed.get("failed"), failed
    assert failed["tried"] == "see the runtime ready"
    assert machine.config.read_text() == text
    assert not machine.ctr("version").returncode
    assert not machine.cri_is_ok()


@pytest.mark.parametrize("crictl", [True, False])
def test_a_pull_by_a_containerd_that_runs_without_cri_proves_nothing(build, old, depot, crictl):
    machine = build(old if crictl else without_crictl(old), start=False)
    machine.config.write_text(machine.config.read_text().replace('snapshotter = "native"', 'snapshotter = "none"'))
    with pytest.raises(AssertionError):
        machine.start_and_wait(seconds=3)
    failed = machine.refuse(registries=[depot.wish(image=depot.image)])
    assert "CRI is off" in failed["got"]
    assert "Look for mirrors beside config_path, and for disabled_plugins" in failed["remedy"]


def test_a_mirror_that_cannot_be_reached_costs_seconds_and_not_half_a_minute(build, new, depot):
    machine = build(new)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        # Who connects after these two gets no answer at all, as from a machine that is off.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        mirror = {"upstream": UPSTREAM, "name": f"depot.test:{full.getsockname()[1]}"}
        machine.run(mirrors=[mirror], verify="none")
        begun = time.monotonic()
        assert "upstream.test" in machine.pull(f"{UPSTREAM}/team/app:1")
        assert 2 < time.monotonic() - begun < 20
