# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role takes the places that may be reached from the inventory, and fails when a command calls anybody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

LOCAL = {"ansible_connection": "local"}
INVENTORY = {
    "registries": {
        "hosts": {"registry.example.com": LOCAL, "two.example.com": {**LOCAL, "registry_host": "two.example.com:5000"}}
    },
    "nodes": {
        "hosts": {
            "node1.example.com": {},
            "node2": {"ansible_host": "192.0.2.7", "ansible_port": 2222},
            "node3": {"ansible_connection": "community.docker.docker"},
        }
    },
}
# What this machine cannot resolve.
ADDRESSES = ["registry.example.com:443=192.0.2.1", "two.example.com:5000=192.0.2.1", "node1.example.com:22=192.0.2.4"]
CALL = "import urllib.request as request; request.urlopen('http://index.example/')"


@pytest.mark.parametrize(("program", "verdict"), [("print(1)", "silent"), (CALL, "called_out")])
def test_whoever_is_not_in_the_inventory_may_not_be_called(tmp_path, program, verdict):
    clusters = [{"name": "one", "cluster": {"server": "https://192.0.2.9:6443"}}]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"clusters": clusters}))
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(INVENTORY))
    play = {"hosts": "registries", "gather_facts": False, "roles": ["homeport.registry.registry_egress"]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    chosen = {
        "registry_kubeconfig": str(tmp_path / "kubeconfig"),
        "registry_egress_enabled": True,
        "registry_egress_argv": [sys.executable, "-c", program],
        "registry_egress_allow": ADDRESSES,
        "registry_egress_report_to": str(tmp_path),
    }
    runner = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
    command = [runner, "-i", "hosts.yml", "play.yml", "-e", json.dumps(chosen)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    seen = json.loads((tmp_path / "egress.json").read_text())
    assert seen["verdict"] == verdict, done.stdout + done.stderr
    assert (done.returncode == 0) is seen["ok"] is (verdict == "silent")
    places = {(one["host"], one["port"]) for one in seen["allowed"]}
    named = {(name, int(port)) for name, _colon, port in (one.partition("=")[0].partition(":") for one in ADDRESSES)}
    assert places == named | {("192.0.2.7", 2222), ("192.0.2.9", 6443)}
    if verdict != "silent":
        assert "asked the DNS for index.example" in " ".join(done.stdout.split())
