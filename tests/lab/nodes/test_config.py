# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""containerd that does not read certs.d: one value in place, one announced restart, proof, or everything back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.lab.nodes.machine import RUNNER

OLD_KEY = 'plugins."io.containerd.grpc.v1.cri".registry'
NEW_KEY = 'plugins."io.containerd.cri.v1.images".registry'


@pytest.fixture
def deaf(build, programs):
    """Return a machine whose containerd does not read certs.d."""
    return build(programs, reads=False)


def test_a_restart_is_refused_planned_and_done(deaf, depot):
    wish = depot.wish(image=depot.image)
    text = deaf.config.read_text()
    there, process = deaf.snapshot(), deaf.pid
    root = "/etc/containerd/certs.d"

    refused = deaf.refuse(registries=[wish])
    assert "config_path is not set" in refused["got"]
    assert "registry_node_trust_restart" in refused["remedy"]

    how = {"restart_command": deaf.restart_command, "registries": [wish]}
    planned = deaf.run(restart="plan", **how)
    assert planned["changed"] is False
    assert planned["restart"]["done"] is False
    assert planned["restart"]["file"] == str(deaf.config)
    assert deaf.snapshot() == there
    checked = deaf.run(restart="now", check=True, **how)
    assert (checked["changed"], checked["restart"]["done"]) == (True, False)
    assert (deaf.snapshot(), deaf.pid) == (there, process)

    try:
        done = deaf.run(restart="now", **how)
        assert (done["changed"], done["restart"]["done"]) == (True, True)
        assert done["registries"][0]["proof"]["how"] == "pulled"
        assert done["runtime"]["root"] == root
        assert deaf.pid != process
        assert deaf.pull(depot.image) == ""
        # Every line is as it was; one line, and where it was missing its table, came in.
        lines = [line for line in deaf.config.read_text().splitlines() if line]
        assert [line for line in lines if line in text] == [line for line in text.splitlines() if line]
        assert deaf.config.read_text().count("config_path") == 1

        again = deaf.run(restart="now", **how)
        assert (again["changed"], again["restart"], again["actions"]) == (False, None, [])

        process = deaf.pid
        gone = {"registries": [{"name": depot.name, "state": "absent"}], "restart_command": deaf.restart_command}
        back = deaf.run(restart="now", revert_config_path=True, **gone)
        assert back["restart"]["done"] is True
        assert deaf.pid != process
        assert deaf.snapshot() == there
    finally:
        subprocess.run(["rm", "-rf", f"{root}/{depot.name}"], check=True)


def test_the_changed_value_stays_unless_it_is_asked_back(build, new, depot):
    machine = build(new, reads=False, more=f"{new.table}\n  config_path = '/nowhere/a:/nowhere/b' # two\n")
    how = {"restart_command": machine.restart_command, "restart": "now"}
    machine.run(registries=[depot.wish(image=depot.image)], **how)
    process = machine.pid
    machine.run(registries=[{"name": depot.name, "state": "absent"}], **how)
    assert machine.pid == process
    assert 'config_path = "/nowhere/a" # two' in machine.config.read_text()
    assert not os.path.exists("/nowhere/a")


@pytest.mark.parametrize(
    ("which", "version", "key"),
    [
        ("old", 1, "plugins.cri.registry"),
        ("old", 2, OLD_KEY),
        ("old", 3, OLD_KEY),
        ("between", 2, OLD_KEY),
        ("between", 3, NEW_KEY),
        ("new", 2, OLD_KEY),
        ("new", 3, NEW_KEY),
        ("new", 4, NEW_KEY),
    ],
)
def test_each_version_of_the_file_has_its_own_key(build, request, depot, which, version, key):
    programs = request.getfixturevalue(which)
    machine = build(programs, start=False)
    cri = {1: "plugins.cri.containerd", 2: 'plugins."io.containerd.grpc.v1.cri".containerd'}.get(version)
    text = machine.usual().replace(f"version = {programs.file_version}", f"version = {version}")
    if cri:
        text = re.sub(r"\[plugins\..*cri.*\]", f"[{cri}]", text)
    if version > 3:
        # Its sockets are plugins like all the rest.
        server = '[plugins."io.containerd.server.v1.{}"]'
        second = f'{server.format("ttrpc")}\n  address = "{machine.endpoint}.ttrpc"\n'
        text = text.replace("[grpc]", f"{second}{server.format('grpc')}")
    machine.config.write_text(text if version > 1 else text.replace("version = 1\n", ""))
    machine.start()
    how = {"restart_command": machine.restart_command, "restart": "now"}
    try:
        machine.run(registries=[depot.wish()], **how)
        assert f"[{key}]\n  config_path = " in machine.config.read_text()
    finally:
        machine.run(registries=[{"name": depot.name, "state": "absent"}])


def test_a_failed_proof_brings_the_configuration_back(deaf, depot):
    process = deaf.pid
    wish = depot.wish(image=f"{depot.name}/team/nothing:1")
    failed = deaf.refuse(registries=[wish], restart="now", restart_command=deaf.restart_command)
    assert "not found" in failed["got"]
    assert "Every file is as it was before" in failed["msg"]
    # It was restarted twice and works with the old configuration.
    assert deaf.pid != process
    assert deaf.cri_is_ok()


def test_a_restart_that_fails_brings_the_configuration_back(deaf, depot):
    text = deaf.config.read_text()
    failed = deaf.attempt(check=False, registries=[depot.wish()], restart="now", restart_command=["false"])
    assert "exit code 1" in failed["got"]
    assert "Putting everything back failed too" in failed["msg"]
    assert deaf.config.read_text() == text
    assert deaf.cri_is_ok()
    # The record remembers, so the next run restarts before it goes on.
    process = deaf.pid
    gone = {"registries": [{"name": depot.name, "state": "absent"}], "restart_command": deaf.restart_command}
    deaf.run(**gone)
    assert deaf.pid != process
    assert not deaf.record.exists()


def test_a_runtime_that_is_no_service_needs_a_command(deaf, depot):
    failed = deaf.refuse(registries=[depot.wish()], restart="now")
    assert "restart_command" in failed["remedy"]


def test_an_interrupted_run_is_undone_by_the_next(deaf, depot, tmp_path):
    there = deaf.snapshot()
    options = {
        "registries": [depot.wish()],
        "restart": "now",
        "restart_command": ["sleep", "300"],
        "runtime_endpoint": deaf.endpoint,
        "record": str(deaf.record),
    }
    enter = ["nsenter", f"--mount=/proc/{deaf._holder.pid}/ns/mnt", "--", sys.executable, str(RUNNER), "node_trust"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    given = tmp_path / "options.json"
    given.write_text(json.dumps(options))
    with given.open() as stream:
        process = subprocess.Popen(enter, stdin=stream, env=env, start_new_session=True)
    deadline = time.monotonic() + 60
    while "config_path" not in deaf.config.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, 9)
    process.wait()
    assert deaf.snapshot() != there
    running = deaf.pid
    gone = {"registries": [{"name": depot.name, "state": "absent"}], "restart_command": deaf.restart_command}
    assert "interrupted" in str(deaf.run(check=True, **gone)["warnings"])
    result = deaf.run(**gone)
    assert "put back what an interrupted run had changed" in result["actions"]
    assert deaf.snapshot() == there
    assert deaf.pid != running


def test_a_drop_in_that_would_undo_the_change_is_named(build, programs, depot):
    machine = build(programs, start=False)
    drop_in = machine.config.parent / "conf.d" / "50-vendor.toml"
    drop_in.parent.mkdir()
    old = programs.version < (2,)
    # Before version 2 any part of the section replaces the whole of it; later the key itself has to be there.
    part = '[plugins."io.containerd.grpc.v1.cri"]\n  enable_selinux = false\n'
    key = f'{programs.table}\n  config_path = "/nowhere/a:/nowhere/b"\n'
    drop_in.write_text(f"version = {programs.file_version}\n" + (part if old else key))
    machine.config.write_text(f'imports = ["{drop_in.parent}/*.toml"]\n' + machine.usual())
    machine.start()
    failed = machine.refuse(registries=[depot.wish()], restart="now", restart_command=machine.restart_command)
    assert str(drop_in) in failed["got"]
    assert ("replaces the whole section" if old else "is read later") in failed["got"]


@pytest.mark.parametrize("programs", ["old", "between", "new"], indirect=True)
def test_a_list_of_directories_is_dead_since_version_2_1(build, programs, depot):
    machine = build(programs, reads=False, start=False)
    machine.config.write_text(
        machine.usual(f'{programs.table}\n  config_path = "{machine.root}:/etc/docker/certs.d"\n')
    )
    machine.start()
    if programs.version < (2,):
        result = machine.run(registries=[depot.wish(image=depot.image)])
        assert result["restart"] is None
        return
    # What others write is not read there.
    certificate = machine.root / depot.name / "ca.crt"
    certificate.parent.mkdir(parents=True)
    certificate.write_text(depot.ca)
    assert "x509" in machine.pull(depot.image)
    wish = depot.wish(image=depot.image)
    result = machine.run(registries=[wish], restart="now", restart_command=machine.restart_command)
    assert "reads a list of directories as one name" in result["restart"]["reason"]
    assert result["runtime"]["root"] == str(machine.root)
    assert machine.pull(depot.image) == ""


@pytest.mark.parametrize("programs", ["between", "new"], indirect=True)
def test_the_default_of_two_directories_is_dead_too(build, programs, depot):
    machine = build(programs, reads=False)
    failed = machine.refuse(registries=[depot.wish()])
    assert "default of two directories" in failed["got"]


def test_mirrors_beside_config_path_turn_cri_off(build, programs, depot):
    mirror = (
        programs.table.replace(".registry]", '.registry.mirrors."docker.io"]') + '\n  endpoint = ["https://a.test"]\n'
    )
    machine = build(programs, start=False)
    machine.config.write_text(machine.usual(machine.with_root() + mirror))
    with pytest.raises(AssertionError):
        machine.start_and_wait(seconds=3)
    assert not machine.cri_is_ok()
    failed = machine.refuse(registries=[depot.wish()])
    assert "turns CRI off" in failed["got"]
    assert "mirrors.docker.io" in failed["got"]
    machine.config.write_text(machine.usual(mirror))
    failed = machine.refuse(registries=[depot.wish()], restart="now", restart_command=machine.restart_command)
    assert "excludes config_path" in failed["got"]
    entry = '{"upstream": "docker.io", "name": "a.test"}'
    assert f"Add what they say to the inventory, registry_node_trust_mirrors: [{entry}]" in failed["remedy"]


@pytest.mark.parametrize(
    ("kind", "line", "remedy"),
    [
        ("k0s", "# k0s_managed=true\n", "into a file of /etc/k0s/containerd.d; k0s reloads it."),
        ("k0s", "", "or put that line back, after which k0s writes the file again"),
        ("k3s", "", "Upgrade k3s"),
        ("rke2", "", "Upgrade RKE2"),
        ("microk8s", "", "Upgrade MicroK8s"),
    ],
)
def test_a_file_that_belongs_to_a_distribution_is_left_to_it(build, new, depot, kind, line, remedy):
    machine = build(new, reads=False, start=False)
    machine.config.write_text(line + machine.usual())
    machine.start()
    failed = machine.refuse(registries=[depot.wish()], runtime=kind, restart="now", restart_command=["false"])
    assert failed["where"] == str(machine.config)
    assert remedy in failed["remedy"]


def test_docker_packages_switch_cri_off(build, programs, depot):
    machine = build(programs, start=False)
    machine.config.write_text('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n' + machine.usual())
    with pytest.raises(AssertionError):
        machine.start_and_wait(seconds=3)
    failed = machine.refuse(registries=[depot.wish()])
    assert "disabled_plugins" in failed["got"]
    assert failed["remedy"] == "Take it out of disabled_plugins and restart containerd."
