# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change of CA by overlap: no moment without trust, and no CA dropped that is still needed."""

from __future__ import annotations

import pytest

from tests.lab.modules.authority import Authority
from tests.lab.modules.distribution import Distribution
from tests.lab.nodes.conftest import REGISTRY


@pytest.fixture
def successor(tmp_path):
    """Return another CA of the same name."""
    (tmp_path / "successor").mkdir()
    return Authority(tmp_path / "successor")


def test_the_old_ca_goes_last(machine, depot, successor):
    both = [depot.ca, successor.ca_file.read_text()]
    process = machine.pid
    image = {"image": depot.image}
    machine.run(registries=[depot.wish(**image)])
    assert machine.run(registries=[depot.wish(**image, ca_certificates=both)])["changed"] is True

    failed = machine.refuse(registries=[depot.wish(ca_certificates=both[1:])])
    assert failed["tried"] == "drop a CA"
    assert "Keep both" in failed["remedy"]

    depot.show(successor.issue("depot.test"))
    result = machine.run(registries=[depot.wish(**image, ca_certificates=both)])
    # Nothing changed on the node, and the new certificate is proven all the same.
    assert result["changed"] is False
    assert "pulled" in result["actions"][0]
    assert machine.run(registries=[depot.wish(**image, ca_certificates=both)])["actions"] == []

    assert machine.run(registries=[depot.wish(**image, ca_certificates=both[1:])])["changed"] is True
    assert machine.pull(depot.image) == ""
    failed = machine.refuse(registries=[depot.wish(ca_certificates=both[:1])])
    assert failed["tried"] == "drop a CA"
    assert machine.pid == process


def test_a_ca_that_ends_soon_is_a_warning(machine, depot, tmp_path):
    (tmp_path / "short").mkdir()
    short = Authority(tmp_path / "short", days=20)
    result = machine.run(registries=[depot.wish(ca_certificates=[depot.ca, short.ca_file.read_text()])])
    assert "expires in 19 days" in str(result["warnings"])
    assert [one["days_left"] > 30 for one in result["registries"][0]["authorities"]] == [True, False]


def test_drift_is_found_and_repaired(machine, depot):
    certificate = machine.root / depot.name / "ca.crt"
    wish = depot.wish()
    machine.run(registries=[wish])
    certificate.write_text("")
    result = machine.run(registries=[wish], check=True)
    assert result["changed"] is True
    assert result["diff"][0]["after"] == depot.ca
    assert machine.run(registries=[wish])["changed"] is True
    certificate.unlink()
    assert machine.run(registries=[wish])["changed"] is True
    assert machine.pull(depot.image) == ""


def test_removal_restores_what_was_there(machine, depot):
    folder = machine.root / depot.name
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text("# theirs\n" + depot.ca)
    (folder / "ca.crt").chmod(0o600)
    there = machine.snapshot()
    machine.run(registries=[depot.wish()])
    assert (folder / "ca.crt").read_text() == depot.ca
    machine.run(registries=[{"name": depot.name, "state": "absent"}])
    assert machine.snapshot() == there
    assert (folder / "ca.crt").stat().st_mode & 0o777 == 0o600


def test_removal_leaves_what_others_changed_since(machine, depot):
    machine.run(registries=[depot.wish()])
    certificate = machine.root / depot.name / "ca.crt"
    certificate.write_text("theirs now")
    result = machine.run(registries=[{"name": depot.name, "state": "absent"}])
    assert "it stays" in str(result["warnings"])
    assert certificate.read_text() == "theirs now"


def test_a_proof_without_an_image_is_the_registrys_own_answer(machine, depot):
    result = machine.run(registries=[depot.wish()])
    proof = result["registries"][0]["proof"]
    assert (proof["how"], proof["image"]) == ("answered", f"{depot.name}/homeport/health:node-trust")


def test_without_crictl_ctr_pulls(build, programs, depot):
    machine = build(type(programs)(programs.containerd, programs.ctr, "", programs.version))
    result = machine.run(registries=[depot.wish(image=depot.image)])
    assert result["registries"][0]["proof"]["by"] == "ctr"


def test_a_look_is_enough_when_asked_for(machine, depot):
    result = machine.run(registries=[depot.wish()], verify="tls")
    assert result["registries"][0]["proof"]["how"] == "looked"
    depot.server.stop()
    failed = machine.refuse(registries=[depot.wish()], verify="tls")
    assert "nothing listens" in failed["got"]
    assert machine.run(registries=[depot.wish()], verify="none")["registries"][0]["presented"] is None
    depot.server.start()


def test_a_registry_without_tls_has_to_be_asked_for(build, programs, depot, tmp_path):
    machine = build(programs)
    server = Distribution(str(REGISTRY), tmp_path / "plain", store=tmp_path / "store")
    server.start()
    name = f"depot.test:{server.port}"
    wish = {"name": name, "plain_http": True, "image": f"{name}/team/app:1"}
    try:
        result = machine.run(registries=[wish])
        assert result["registries"][0]["proof"]["how"] == "pulled"
        assert "without TLS" in str(result["warnings"])
        hosts = machine.root / name / "hosts.toml"
        if programs.version < (1, 7, 32):
            # The table without anything in it is what keeps the file from being dropped.
            hosts.write_text(hosts.read_text().replace("[host]\n", ""))
            assert "HTTP response to HTTPS client" in machine.pull(wish["image"])
    finally:
        server.stop()


def test_a_registry_that_is_not_verified_has_to_be_asked_for(machine, depot):
    result = machine.run(registries=[{"name": depot.name, "insecure": True, "image": depot.image}])
    assert result["registries"][0]["proof"]["how"] == "pulled"
    assert "not verified" in str(result["warnings"])
