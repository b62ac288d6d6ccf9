# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""registries.yaml of k3s: what it mentions is changed there and read at one start, everything else needs neither."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
import yaml

from tests.lab.modules.authority import Authority
from tests.lab.nodes.rancher import Rancher

ETC = Path("/etc/rancher")
UPSTREAM = "upstream.test"
IMAGE = f"{UPSTREAM}/team/app:1"
FOREIGN = """# kept by hand
mirrors:
  docker.io:  # the hub
    endpoint:
      - "https://other.test"
configs:
  {name}:
    auth: {{username: who, password: s3cret}}  # an account

# the end
"""


@pytest.fixture
def node(build, new):
    """Return a machine as k3s would leave it."""
    ETC.mkdir(exist_ok=True)
    machine = build(new, kind=Rancher)
    machine.root.mkdir()
    yield machine
    machine.stop()
    with contextlib.suppress(OSError):
        ETC.rmdir()


@pytest.fixture
def listed(node, depot):
    """Return one whose registries.yaml mentions the registry, in force."""
    node.registries.write_text(FOREIGN.format(name=depot.name))
    node.registries.chmod(0o640)
    node.start_again()
    assert (node.root / depot.name / "hosts.toml").exists()
    assert "x509" in node.pull(depot.image)
    return node


def restarting(node, **more):
    return {"restart": "now", "restart_command": node.restart_command, **more}


def parsed(node):
    return yaml.safe_load(node.registries.read_text())


def test_what_the_file_does_not_mention_needs_no_restart(node, depot):
    node.registries.write_text("mirrors:\n  docker.io:\n    endpoint: [https://other.test]\n")
    node.start_again()
    untouched, process = node.snapshot(), node.pid
    result = node.run(registries=[depot.wish(image=depot.image)])
    assert (result["registries"][0]["proof"]["how"], result["restart"]) == ("pulled", None)
    assert result["registries"][0]["files"] == [str(node.root / depot.name / "ca.crt")]
    # It outlives a start of k3s.
    assert node.pid == process
    node.start_again()
    assert node.pull(depot.image) == ""
    assert node.run(registries=[depot.wish(image=depot.image)])["changed"] is False
    node.run(registries=[{"name": depot.name, "state": "absent"}])
    assert node.snapshot() == untouched


def test_the_twelve_steps(listed, depot):
    untouched, process = listed.snapshot(), listed.pid
    wish = depot.wish(image=depot.image)
    planned = listed.run(registries=[wish], restart="plan", restart_command=listed.restart_command)
    assert planned["changed"] is False
    assert planned["restart"]["file"] == "/etc/rancher/k3s/registries.yaml"
    assert "is read at the start only" in planned["restart"]["reason"]
    for check in (True, False):
        result = listed.run(registries=[wish], check=check, **restarting(listed))
        assert (result["changed"], result["restart"]["done"]) == (True, not check)
        if check:
            assert (listed.snapshot(), listed.pid) == (untouched, process)
    assert result["registries"][0]["proof"]["how"] == "pulled"
    text = listed.registries.read_text()
    assert [line for line in text.splitlines() if "ca_file" not in line and "tls:" not in line] == FOREIGN.format(
        name=depot.name
    ).splitlines()
    assert listed.registries.stat().st_mode & 0o777 == 0o640
    there, process = listed.snapshot(), listed.pid
    for check in (True, False):
        result = listed.run(registries=[wish], check=check, **restarting(listed))
        assert (result["changed"], result["actions"], result["restart"]) == (False, [], None)
        assert (listed.snapshot(), listed.pid) == (there, process)

    more = depot.wish(image=depot.image, insecure=True)
    for check in (True, False):
        result = listed.run(registries=[more], check=check, **restarting(listed))
        assert (result["changed"], listed.snapshot() == there) == (True, check)
    assert parsed(listed)["configs"][depot.name]["tls"]["insecure_skip_verify"] is True
    there = listed.snapshot()
    for check in (True, False):
        assert listed.run(registries=[more], check=check, **restarting(listed))["changed"] is False

    gone = {"name": depot.name, "state": "absent"}
    for check in (True, False):
        result = listed.run(registries=[gone], check=check, **restarting(listed))
        assert (result["changed"], result["restart"]["done"]) == (True, not check)
        assert listed.snapshot() == (there if check else untouched)
    assert listed.registries.stat().st_mode & 0o777 == 0o640
    assert "x509" in listed.pull(depot.image)
    for check in (True, False):
        result = listed.run(registries=[gone], check=check, **restarting(listed))
        assert (result["changed"], result["restart"]) == (False, None)


def test_without_a_restart_it_is_said_what_is_still_to_come(listed, depot):
    untouched, process, wish = listed.snapshot(), listed.pid, depot.wish(image=depot.image)
    for changed in (True, False):
        result = listed.run(registries=[wish])
        assert (result["changed"], result["restart"]) == (changed, None)
        assert result["registries"][0]["proof"]["how"] == "waits"
        assert "in force after the next start of k3s" in str(result["warnings"])
    assert listed.pid == process
    assert "x509" in listed.pull(depot.image)
    listed.start_again()
    result = listed.run(registries=[wish])
    assert (result["changed"], result["registries"][0]["proof"]["how"]) == (False, "pulled")

    # A CA that is named and missing would make every pull fail, so its file stays until the start.
    authority = listed.etc / "homeport" / depot.name / "ca.crt"
    gone = {"name": depot.name, "state": "absent"}
    for changed in (True, False):
        result = listed.run(registries=[gone])
        assert (result["changed"], authority.exists()) == (changed, True)
        assert "run again then" in str(result["warnings"])
    assert listed.registries.read_bytes() == untouched[str(listed.registries)]
    listed.start_again()
    assert listed.run(registries=[gone])["changed"] is True
    assert listed.snapshot() == untouched
    assert listed.run(registries=[gone])["changed"] is False


def test_passwords_of_others_are_not_in_the_diff(listed, depot):
    result = listed.run(registries=[depot.wish()], check=True, **restarting(listed))
    shown = str([one for one in result["diff"] if one["before_header"].endswith("registries.yaml")])
    assert "ca_file" in shown
    assert "s3cret" not in str(result)


def test_a_new_ca_beside_the_old_one_needs_no_restart(listed, depot, tmp_path):
    listed.run(registries=[depot.wish(image=depot.image)], **restarting(listed))
    (tmp_path / "other").mkdir()
    process, other = listed.pid, Authority(tmp_path / "other")
    both = depot.wish(image=depot.image, ca_certificates=[depot.ca, other.ca_file.read_text()])
    assert listed.run(registries=[both])["changed"] is True
    depot.show(other.issue("depot.test"))
    assert listed.pull(depot.image) == ""
    alone = depot.wish(image=depot.image, ca_certificates=[other.ca_file.read_text()])
    assert listed.run(registries=[alone])["registries"][0]["proof"]["how"] == "pulled"
    assert listed.pid == process
    # The first one is still needed now, and is not dropped.
    assert "drop a CA" in listed.refuse(registries=[depot.wish(image=depot.image)])["tried"]


def test_a_failed_proof_brings_everything_back(listed, depot):
    untouched, process = listed.snapshot(), listed.pid
    failed = listed.refuse(registries=[depot.wish(image=f"{depot.name}/team/nothing:1")], **restarting(listed))
    assert "Every file is as it was before" in failed["msg"]
    assert (listed.snapshot() == untouched, listed.pid == process) == (True, False)


def test_a_start_that_does_not_read_the_file_is_noticed(listed, depot):
    listed.write_hook(reads=False)
    failed = listed.refuse(registries=[depot.wish()], **restarting(listed))
    assert failed["tried"] == "see the new entries in force"


def test_drift_is_repaired_and_what_others_add_stays(listed, depot):
    wish = depot.wish(image=depot.image)
    untouched = listed.registries.read_text()
    listed.run(registries=[wish], **restarting(listed))
    listed.registries.write_text(untouched)
    assert listed.run(registries=[wish], check=True, **restarting(listed))["changed"] is True
    result = listed.run(registries=[wish], **restarting(listed))
    assert (result["changed"], result["restart"]) == (True, None)
    added = "  later.test:\n    tls: {ca_file: /their.crt}\n"
    listed.registries.write_text(listed.registries.read_text().replace("\n# the end", f"{added}\n# the end"))
    assert listed.run(registries=[wish])["changed"] is False
    listed.run(registries=[{"name": depot.name, "state": "absent"}], **restarting(listed))
    assert listed.registries.read_text() == untouched.replace("\n# the end", f"{added}\n# the end")


@pytest.mark.parametrize("prefix", ["", "nested"])
def test_a_mirror_comes_before_those_of_others(node, depot, prefix):
    if prefix:
        depot.push("nested/team/app")
    node.registries.write_text(f"mirrors:\n  {UPSTREAM}:\n    endpoint:\n    - https://nowhere.test\n")
    node.start_again()
    untouched = node.snapshot()
    wish = {"upstream": UPSTREAM, "name": depot.name, "ca_certificates": [depot.ca], "image": IMAGE, "prefix": prefix}
    both = {"mirrors": [wish], "registries": [depot.wish(image=depot.image)]}
    # The mirror's own CA makes the file mention that registry too.
    result = node.run(**both, **restarting(node))
    assert [one["proof"]["how"] for one in result["registries"]] == ["pulled", "pulled"]
    endpoints = parsed(node)["mirrors"][UPSTREAM]["endpoint"]
    assert endpoints == [f"https://{depot.name}{'/v2/nested' if prefix else ''}", "https://nowhere.test"]
    again = node.run(**both, **restarting(node))
    assert (again["changed"], again["restart"]) == (False, None)
    node.run(registries=[{"name": depot.name, "state": "absent"}], **restarting(node))
    assert node.run(mirrors=[wish], **restarting(node))["registries"][0]["proof"]["how"] == "pulled"
    node.run(mirrors=[{**wish, "state": "absent"}], **restarting(node))
    assert node.snapshot() == untouched
    refused = node.refuse(mirrors=[{**wish, "fallback": False}])
    assert "disable-default-registry-endpoint" in refused["got"]


def test_everything_can_be_in_the_file(node, depot):
    untouched = node.snapshot()
    wish = depot.wish(image=depot.image)
    live = node.run(registries=[wish])
    assert live["restart"] is None
    listed = node.run(registries=[wish], registries_yaml="always", **restarting(node))
    assert listed["restart"]["done"] is True
    assert parsed(node) == {
        "configs": {depot.name: {"tls": {"ca_file": f"/etc/rancher/k3s/homeport/{depot.name}/ca.crt"}}}
    }
    assert node.registries.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (node.root / depot.name).iterdir()] == ["hosts.toml"]
    # It stays there, whatever is asked later.
    assert node.run(registries=[wish])["changed"] is False
    node.run(registries=[{"name": depot.name, "state": "absent"}], **restarting(node))
    assert node.snapshot() == untouched


def test_trust_goes_on_until_the_start(node, depot):
    wish = depot.wish(image=depot.image)
    node.run(registries=[wish])
    node.run(registries=[wish], registries_yaml="always")
    assert node.pull(depot.image) == ""
    node.start_again()
    assert node.pull(depot.image) == ""
    assert node.run(registries=[wish])["registries"][0]["proof"]["how"] == "pulled"


def test_never_refuses_what_the_file_mentions_unless_it_is_done_by_hand(listed, depot):
    wish = depot.wish(image=depot.image)
    failed = listed.refuse(registries=[wish], registries_yaml="never")
    assert "registries_yaml: listed" in failed["remedy"]
    authority = listed.etc / "by-hand.crt"
    authority.write_text(depot.ca)
    entry = "    tls: {ca_file: /etc/rancher/k3s/by-hand.crt}\n"
    listed.registries.write_text(listed.registries.read_text().replace("\n# the end", f"{entry}\n# the end"))
    listed.start_again()
    for mode in ("never", "listed"):
        before = listed.registries.read_bytes()
        result = listed.run(registries=[wish], registries_yaml=mode)
        assert (result["registries"][0]["proof"]["how"], result["changed"]) == ("pulled", False)
        assert listed.registries.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("x: &a {{}}\nconfigs:\n  {name}:\n    auth: {{username: a}}\n", "an anchor"),
        ("configs:\n  {name}:\n\tauth: x\n", "a tab"),
        ("configs:\n  {name}: text\n", "something else than a mapping"),
        ("configs:\n  {name}:\n    tls: {{ca_file: /their.crt}}\n", "has another value there"),
        ("configs: {{{name}: {{auth: {{username: a}},\n  }}}}\n", "in their line"),
    ],
)
def test_what_cannot_be_changed_safely_is_left_alone(node, depot, text, got):
    node.registries.write_text(text.format(name=depot.name))
    failed = node.refuse(registries=[depot.wish()], **restarting(node))
    assert got in failed["got"]
    assert "ca_file: /etc/rancher/k3s/homeport/" in failed["remedy"]


def test_a_ca_of_somebody_else_is_replaced_when_that_is_asked_for(listed, depot):
    theirs = listed.registries.read_text().replace(
        "\n# the end", "    tls:\n      ca_file: /their.crt # ours\n\n# the end"
    )
    listed.registries.write_text(theirs)
    wish = depot.wish(image=depot.image, replace_foreign=True)
    assert listed.run(registries=[wish], **restarting(listed))["registries"][0]["proof"]["how"] == "pulled"
    listed.run(registries=[{"name": depot.name, "state": "absent"}], **restarting(listed))
    assert listed.registries.read_text() == theirs


def test_a_file_that_cannot_be_read_does_not_matter_to_others(node, depot):
    node.registries.write_text("x: &a b\nmirrors:\n  docker.io: {endpoint: [https://other.test]}\n")
    assert node.run(registries=[depot.wish(image=depot.image)])["restart"] is None


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "---\nmirrors:\nconfigs: {}\n",
        "mirrors: {}\nconfigs: ~",
        'mirrors:\n  "*":\n    endpoint: ["https://other.test"]\n',
        "configs:\n    other.test:\n        auth:\n            username: a\n\n\n# end",
        "configs: {other.test: {tls: {insecure_skip_verify: true}}}\n",
    ],
)
def test_whatever_was_there_comes_back_byte_for_byte(node, depot, text, eol):
    data = text.replace("\n", eol).encode()
    node.registries.write_bytes(data)
    how = {"registries_yaml": "always", "verify": "tls"}
    assert node.run(registries=[depot.wish()], **how)["changed"] is True
    changed = yaml.safe_load(node.registries.read_text())
    assert changed["configs"][depot.name]["tls"]["ca_file"].endswith("/ca.crt")
    assert node.run(registries=[depot.wish()], **how)["changed"] is False
    assert node.run(registries=[{"name": depot.name, "state": "absent"}], **how)["changed"] is True
    assert node.registries.read_bytes() == data
    assert not (node.etc / "homeport").exists()
    shutil.rmtree(node.root, ignore_errors=True)
