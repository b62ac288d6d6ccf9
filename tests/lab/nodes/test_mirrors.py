# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of an upstream registry come from its mirror."""

from __future__ import annotations

import shutil

import pytest

from tests.lab.modules.distribution import Distribution
from tests.lab.nodes.conftest import REGISTRY
from tests.lab.nodes.depot import Depot

UPSTREAM = "upstream.test"
IMAGE = f"{UPSTREAM}/team/app:1"


@pytest.fixture
def mirror(depot):
    """Return a function that gives the entry of a mirror for an upstream that does not exist."""
    common = {"upstream": UPSTREAM, "name": depot.name, "ca_certificates": [depot.ca]}
    return lambda **more: {**common, **more}


@pytest.mark.parametrize("fallback", [True, False])
def test_the_twelve_steps(machine, mirror, fallback):
    wish = mirror(image=IMAGE, fallback=fallback)
    untouched, process = machine.snapshot(), machine.pid
    assert "no such host" in machine.pull(IMAGE)
    for check in (True, False):
        result = machine.run(mirrors=[wish], check=check)
        assert result["changed"] is True
        if check:
            assert machine.snapshot() == untouched
    assert result["registries"][0]["name"] == UPSTREAM
    assert result["registries"][0]["proof"]["how"] == "pulled"
    assert sorted(path.name for path in (machine.root / UPSTREAM).iterdir()) == ["ca.crt", "hosts.toml"]
    there = machine.snapshot()
    for check in (True, False):
        result = machine.run(mirrors=[wish], check=check)
        assert (result["changed"], result["actions"]) == (False, [])
    other = mirror(image=IMAGE, fallback=not fallback)
    for check in (True, False):
        assert machine.run(mirrors=[other], check=check)["changed"] is True
        assert (machine.snapshot() == there) is check
    for check in (True, False):
        assert machine.run(mirrors=[other], check=check)["changed"] is False
    gone = mirror(state="absent")
    for check in (True, False):
        assert machine.run(mirrors=[gone], check=check)["changed"] is True
    assert machine.snapshot() == untouched
    for check in (True, False):
        assert machine.run(mirrors=[gone], check=check)["changed"] is False
    assert machine.pid == process


def test_the_upstream_is_asked_for_what_the_mirror_has_not_got_only_if_wanted(machine, mirror):
    missing = f"{UPSTREAM}/team/other:1"
    machine.run(mirrors=[mirror(fallback=False)])
    assert "not found" in machine.pull(missing)
    machine.run(mirrors=[mirror(fallback=True)])
    said = machine.pull(missing)
    # Version 2 reports the first of both answers, so only the older one shows that the upstream was asked.
    assert "lookup upstream.test" in said or machine.programs.version >= (2,)


@pytest.mark.parametrize("fallback", [True, False])
def test_a_registry_may_hold_the_images_of_several_below_their_names(machine, depot, mirror, fallback):
    depot.push(f"{UPSTREAM}/team/deep/app")
    image = f"{UPSTREAM}/team/deep/app:1"
    wish = mirror(prefix=UPSTREAM, image=image, fallback=fallback)
    assert machine.run(mirrors=[wish])["registries"][0]["proof"]["how"] == "pulled"
    assert machine.run(mirrors=[wish])["changed"] is False
    # Without the prefix this would be the image that is there as well.
    assert machine.pull(IMAGE)
    assert machine.pull(f"{UPSTREAM}/{image}")


def test_a_prefix_that_is_no_path_is_refused(machine, mirror):
    for prefix in ("/docker.io", "a//b?", "../x", "UPPER"):
        assert "is no path in a registry" in machine.refuse(mirrors=[mirror(prefix=prefix)])["msg"]


def test_a_mirror_with_a_wrong_ca_is_refused(machine, depot, mirror):
    failed = machine.refuse(mirrors=[mirror(ca_certificates=[])])
    assert failed["tried"] == "trust the registry from this node"


def test_a_mirror_and_its_own_registry_go_together(machine, depot, mirror):
    result = machine.run(registries=[depot.wish(image=depot.image)], mirrors=[mirror(image=IMAGE)])
    assert [one["proof"]["how"] for one in result["registries"]] == ["pulled", "pulled"]


@pytest.fixture
def closed(depot, tmp_path):
    """Return the same registry, which lets only alice pull."""
    store = shutil.copytree(tmp_path / "store", tmp_path / "closed-store")
    users = [("alice", "secret")]
    server = Distribution(
        str(REGISTRY), tmp_path / "closed", store=store, users=users, tls=depot.pair, listen="0.0.0.0"
    )
    server.start()
    yield Depot(server, depot.authority, depot.pair)
    server.stop()


def test_a_mirror_that_asks_for_an_account_gets_the_passwords_of_the_upstream(machine, closed, mirror):
    wish = mirror(name=closed.name, fallback=False)
    asked = f"the mirror {closed.name} asks for an account"
    checked = machine.run(mirrors=[wish], check=True)
    assert asked not in str(checked.get("warnings"))
    assert asked in str(machine.run(mirrors=[wish])["warnings"])
    # It is so: without an account there is no image, and with the upstream's own, meant for nobody else, there is.
    assert "401" in machine.pull(IMAGE) or "authorization failed" in machine.pull(IMAGE)
    assert machine.pull(IMAGE, "alice:secret") == ""
    again = machine.run(mirrors=[wish])
    assert (again["changed"], again["actions"]) == (False, [])
    assert asked in str(again["warnings"])


def test_a_mirror_that_asks_nobody_is_no_warning(machine, mirror):
    assert "warnings" not in machine.run(mirrors=[mirror(fallback=False)])
