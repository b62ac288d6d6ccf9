# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker and Podman of Debian: the same file, in their places, read on every pull."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.nodes.engines import engine


@pytest.fixture(params=["docker", "podman"])
def machine(request, build):
    """Return a machine with each."""
    return engine(request.param, build)


def test_one_file_is_trust(machine, depot):
    there = machine.snapshot()
    wish = depot.wish(image=depot.image)
    assert "x509" in machine.pull(depot.image)
    assert machine.run(registries=[wish], check=True, **machine.options)["changed"] is True
    assert machine.snapshot() == there
    result = machine.run(registries=[wish], **machine.options)
    assert result["changed"] is True
    assert result["registries"][0]["proof"]["how"] == "pulled"
    assert result["registries"][0]["proof"]["by"] == machine.options["runtime"]
    assert result["registries"][0]["files"] == [f"{machine.folder_of_certificates}/{depot.name}/ca.crt"]
    assert machine.pull(depot.image) == ""
    again = machine.run(registries=[wish], **machine.options)
    assert (again["changed"], again["actions"]) == (False, [])
    gone = {"name": depot.name, "state": "absent"}
    assert machine.run(registries=[gone], **machine.options)["changed"] is True
    assert machine.snapshot() == there


def test_the_registrys_own_answer_is_a_proof(machine, depot):
    result = machine.run(registries=[depot.wish()], **machine.options)
    assert result["registries"][0]["proof"]["how"] == "answered"


def test_an_image_that_is_not_there_is_no_proof(machine, depot):
    wish = depot.wish(image=f"{depot.name}/team/nothing:1")
    failed = machine.refuse(registries=[wish], **machine.options)
    assert "Check that the image exists" in failed["remedy"]


def test_the_other_spelling_does_not_matter_to_them(machine, depot):
    host, _colon, port = depot.name.partition(":")
    Path(machine.root / f"{host}_{port}_").mkdir(parents=True)
    assert machine.run(registries=[depot.wish()], **machine.options)["changed"] is True
