# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of the cluster and the ways to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab import kubectl, network
from lab.errors import LabError
from lab.network import NodeNetwork

CONTROL_PLANE = NodeNetwork("homeport-control-plane", "172.17.0.3", "10.244.0.0/24")
WORKER = NodeNetwork("homeport-worker", "172.17.0.2", "10.244.1.0/24")


def item(node: NodeNetwork, pods: str | None) -> dict[str, Any]:
    addresses = [{"type": "Hostname", "address": node.name}, {"type": "InternalIP", "address": node.address}]
    spec = {"podCIDR": pods} if pods else {}
    return {"metadata": {"name": node.name}, "spec": spec, "status": {"addresses": addresses}}


def test_nodes_are_read_from_the_api() -> None:
    listing = {"items": [item(WORKER, WORKER.pods), item(CONTROL_PLANE, CONTROL_PLANE.pods)]}
    assert network.parse_nodes(listing) == [CONTROL_PLANE, WORKER]


def test_a_node_without_pod_subnet_does_not_count_yet() -> None:
    assert network.parse_nodes({"items": [item(WORKER, None), item(CONTROL_PLANE, CONTROL_PLANE.pods)]}) == [
        CONTROL_PLANE
    ]
    assert network.parse_nodes({}) == []


def test_waiting_for_pod_subnets_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "read", lambda *words: {"items": [item(WORKER, WORKER.pods)]})
    with pytest.raises(LabError, match="only 1 of 2 nodes"):
        network.nodes(patience=0)


def test_a_node_reaches_the_others_pods_and_services_but_not_itself() -> None:
    assert network.node_routes(WORKER, [CONTROL_PLANE, WORKER]) == [
        ["ip", "route", "replace", "10.244.0.0/24", "via", "172.17.0.3"],
        ["ip", "route", "replace", "10.96.0.0/16", "dev", "eth0"],
    ]


def test_the_host_reaches_pods_and_services() -> None:
    assert network.host_routes([CONTROL_PLANE, WORKER]) == [
        ["ip", "route", "replace", "10.244.0.0/24", "via", "172.17.0.3"],
        ["ip", "route", "replace", "10.244.1.0/24", "via", "172.17.0.2"],
        ["ip", "route", "replace", "10.96.0.0/16", "via", "172.17.0.2"],
    ]


def test_pods_are_routed_and_keep_their_address() -> None:
    config = json.loads(network.cni_config("10.244.1.0/24"))
    link, ports = config["plugins"]
    assert (link["type"], link["ipMasq"]) == ("ptp", False)
    assert link["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]
    assert ports["type"] == "portmap"
