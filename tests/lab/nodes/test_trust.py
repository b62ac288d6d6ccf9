# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node learns, keeps and forgets a registry, by one file and without a restart."""

from __future__ import annotations

import subprocess


def test_the_twelve_steps(machine, depot):
    machine.hosts.write_text("127.0.0.1 localhost\n")
    wish = depot.wish(image=depot.image, address="127.0.0.1")
    untouched = machine.snapshot()
    process = machine.pid
    assert "no such host" in machine.pull(depot.image)

    for check in (True, False):
        result = machine.run(registries=[wish], check=check)
        assert result["changed"] is True, result
        if check:
            assert machine.snapshot() == untouched
    certificate = machine.root / depot.name / "ca.crt"
    assert [path.name for path in certificate.parent.iterdir()] == ["ca.crt"]
    assert certificate.read_text() == depot.ca
    assert result["registries"][0]["proof"]["how"] == "pulled"
    assert result["registries"][0]["proof"]["by"] == "crictl"
    assert result["registries"][0]["presented"]["names"] == ["depot.test"]
    assert result["restart"] is None
    assert result["runtime"]["root"] == str(machine.root)
    assert machine.pull(depot.image) == ""

    there = machine.snapshot()
    for check in (True, False):
        result = machine.run(registries=[wish], check=check)
        assert (result["changed"], result["actions"]) == (False, [])
        assert result["registries"][0]["proof"]["how"] == "pulled"
        assert machine.snapshot() == there

    more = depot.wish(image=depot.image, address="127.0.0.1", aliases=["depot.test:9"])
    for check in (True, False):
        result = machine.run(registries=[more], check=check)
        assert result["changed"] is True
        assert (machine.snapshot() == there) is check
    there = machine.snapshot()
    for check in (True, False):
        assert machine.run(registries=[more], check=check)["changed"] is False
        assert machine.snapshot() == there

    # An alias that is not listed any more goes.
    assert machine.run(registries=[wish])["changed"] is True
    assert not (machine.root / "depot.test:9").exists()
    machine.run(registries=[more])
    there = machine.snapshot()

    gone = {"name": depot.name, "state": "absent"}
    for check in (True, False):
        result = machine.run(registries=[gone], check=check)
        assert result["changed"] is True
        assert machine.snapshot() == (there if check else untouched)
    assert not machine.record.parent.exists()
    for check in (True, False):
        assert machine.run(registries=[gone], check=check)["changed"] is False
    # containerd was never restarted.
    assert machine.pid == process


def test_trust_comes_and_goes_at_once(machine, depot):
    process = machine.pid
    assert "x509" in machine.pull(depot.image)
    machine.run(registries=[depot.wish()])
    assert machine.pull(depot.image) == ""
    machine.run(registries=[{"name": depot.name, "state": "absent"}])
    assert "x509" in machine.pull(depot.image)
    assert machine.pid == process


def test_the_store_of_the_system_would_need_a_restart(machine, depot):
    # Which is why trust is not put there: a running containerd goes on with what it has read.
    assert "x509" in machine.pull(depot.image)
    machine.cover(depot.ca, "/etc/ssl/certs/ca-certificates.crt")
    assert "x509" in machine.pull(depot.image)
    subprocess.run(machine.restart_command, check=True)
    machine.wait(60)
    assert machine.pull(depot.image) == ""
