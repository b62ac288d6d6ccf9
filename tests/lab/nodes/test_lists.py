# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mirrors and registries without TLS in the lists of Docker and Podman, of which only our entries change."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.lab.modules.distribution import Distribution
from tests.lab.nodes.conftest import REGISTRY
from tests.lab.nodes.engines import engine

UPSTREAM = {"docker": "docker.io", "podman": "upstream.test"}


# The file is shared with the user there; Podman takes files of our own.
only_docker = pytest.mark.parametrize("machine", ["docker"], indirect=True)


@pytest.fixture(params=["docker", "podman"])
def machine(request, build):
    """Return a machine with each."""
    return engine(request.param, build)


@pytest.fixture
def kind(machine):
    """Return the name of the machine's runtime."""
    return machine.options["runtime"]


@pytest.fixture
def settings(machine, kind):
    """Return the file of the runtime in which users have settings of their own, with some in it."""
    if kind == "docker":
        path = machine.config.parent / "daemon.json"
        path.write_text('{"debug":   false, "insecure-registries": ["theirs.test:1"]}')
    else:
        path = machine.config.parent / "registries.conf"
        path.write_text('unqualified-search-registries = ["theirs.test"]\n')
    return path


@pytest.fixture
def plain(depot, tmp_path):
    """Return the name of a registry without TLS that has the same images."""
    server = Distribution(str(REGISTRY), tmp_path / "plain", store=tmp_path / "store", listen="0.0.0.0")
    server.start()
    yield f"depot.test:{server.port}"
    server.stop()


def test_a_registry_without_tls(machine, kind, settings, plain):
    there = machine.snapshot()
    image = f"{plain}/team/app:1"
    wish = {"name": plain, "plain_http": True, "image": image}
    assert "HTTP response to HTTPS client" in machine.pull(image)
    assert machine.run(registries=[wish], check=True, **machine.options)["changed"] is True
    assert machine.snapshot() == there
    result = machine.run(registries=[wish], **machine.options)
    assert result["registries"][0]["proof"]["how"] == "pulled"
    assert machine.pull(image) == ""
    if kind == "docker":
        content = json.loads(settings.read_text())
        assert content == {"debug": False, "insecure-registries": ["theirs.test:1", plain]}
    again = machine.run(registries=[wish], **machine.options)
    assert (again["changed"], again["actions"]) == (False, [])
    gone = {"name": plain, "state": "absent"}
    assert machine.run(registries=[gone], check=True, **machine.options)["changed"] is True
    assert machine.run(registries=[gone], **machine.options)["changed"] is True
    assert machine.snapshot() == there
    assert machine.run(registries=[gone], **machine.options)["changed"] is False


def test_a_mirror(machine, kind, settings, depot):
    there = machine.snapshot()
    upstream = UPSTREAM[kind]
    image = f"{upstream}/team/app:1"
    wish = {"upstream": upstream, "name": depot.name, "ca_certificates": [depot.ca], "image": image}
    result = machine.run(mirrors=[wish], **machine.options)
    assert result["registries"][0]["proof"]["how"] == "pulled"
    again = machine.run(mirrors=[wish], **machine.options)
    assert (again["changed"], again["actions"]) == (False, [])
    # The registry itself shares a file with its mirror; each keeps it for itself.
    machine.run(registries=[depot.wish(image=depot.image)], **machine.options)
    machine.run(mirrors=[{**wish, "state": "absent"}], registries=[depot.wish()], **machine.options)
    assert machine.pull(depot.image) == ""
    machine.run(registries=[{"name": depot.name, "state": "absent"}], **machine.options)
    assert machine.snapshot() == there


@only_docker
def test_an_entry_of_the_user_stays(machine, settings, plain):
    settings.write_text(json.dumps({"insecure-registries": [plain]}))
    os.kill(machine.pid, signal.SIGHUP)
    machine.run(registries=[{"name": plain, "plain_http": True}], **machine.options)
    machine.run(registries=[{"name": plain, "state": "absent"}], **machine.options)
    assert json.loads(settings.read_text()) == {"insecure-registries": [plain]}


@only_docker
def test_what_others_add_meanwhile_stays(machine, settings, plain):
    machine.run(registries=[{"name": plain, "plain_http": True}], **machine.options)
    content = json.loads(settings.read_text())
    settings.write_text(json.dumps({**content, "insecure-registries": [*content["insecure-registries"], "new.test"]}))
    machine.run(registries=[{"name": plain, "state": "absent"}], **machine.options)
    assert json.loads(settings.read_text()) == {"debug": False, "insecure-registries": ["theirs.test:1", "new.test"]}


def test_a_failed_proof_brings_the_list_back(machine, kind, settings, plain):
    wish = {"name": plain, "plain_http": True, "image": f"{plain}/team/nothing:1"}
    failed = machine.refuse(registries=[wish], **machine.options)
    assert "Every file is as it was before" in failed["msg"]
    assert "HTTP response to HTTPS client" in machine.pull(f"{plain}/team/app:1")


@only_docker
def test_docker_mirrors_one_registry_only(machine, settings, depot):
    wish = {"upstream": "quay.io", "name": depot.name, "ca_certificates": [depot.ca]}
    assert "docker.io only" in machine.refuse(mirrors=[wish], **machine.options)["got"]


@only_docker
def test_a_broken_file_of_docker_is_not_touched(machine, settings, plain):
    settings.write_text("{")
    failed = machine.refuse(registries=[{"name": plain, "plain_http": True}], **machine.options)
    assert "Docker would not start with it" in failed["remedy"]
