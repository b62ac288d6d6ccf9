# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pod networking of the nodes built here, and the host's way to pods and services."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from lab import kubectl, layout, shell
from lab.engine import Engine
from lab.errors import LabError

SERVICE_SUBNET = "10.96.0.0/16"
NODE_LINK = "eth0"
CNI_FILE = "/etc/cni/net.d/10-homeport.conflist"
LOG = "network"


@dataclass(frozen=True)
class NodeNetwork:
    """A node's own address and the subnet of its pods."""

    name: str
    address: str
    pods: str


def parse_nodes(listing: dict[str, Any]) -> list[NodeNetwork]:
    """Return the networks of those nodes in ``listing`` that have both an address and a pod subnet."""
    found = []
    for item in listing.get("items", []):
        addresses = item.get("status", {}).get("addresses", [])
        internal = [entry["address"] for entry in addresses if entry["type"] == "InternalIP"]
        pods = item.get("spec", {}).get("podCIDR")
        if internal and pods:
            found.append(NodeNetwork(item["metadata"]["name"], internal[0], pods))
    return sorted(found, key=lambda node: node.name)


def nodes(patience: float = 60) -> list[NodeNetwork]:
    """Return the networks of both nodes, once the cluster has given them out."""
    limit = time.monotonic() + patience
    while True:
        found = parse_nodes(kubectl.read("nodes") or {})
        if len(found) == len(layout.NODES):
            return found
        if time.monotonic() > limit:
            raise LabError(f"only {len(found)} of {len(layout.NODES)} nodes got a pod subnet within {patience:.0f} s")
        time.sleep(0.5)


def cni_config(pods: str) -> str:
    """Return the CNI configuration of a node whose pods live in the subnet ``pods``.

    Point-to-point links rather than a bridge: traffic between two pods of one
    node is routed, and so meets the NetworkPolicies, on every kernel.
    """
    link = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "homeport", "plugins": [link, ports]}, indent=2) + "\n"


def node_routes(node: NodeNetwork, everyone: list[NodeNetwork]) -> list[list[str]]:
    """Return the ``ip`` commands that show ``node`` the way to the other nodes' pods and to services.

    A service address is rewritten only after a route for it was found, and the
    nodes have no default route.
    """
    peers = [["ip", "route", "replace", peer.pods, "via", peer.address] for peer in everyone if peer != node]
    return [*peers, ["ip", "route", "replace", SERVICE_SUBNET, "dev", NODE_LINK]]


def host_routes(everyone: list[NodeNetwork]) -> list[list[str]]:
    """Return the ``ip`` commands that show the host the way to pods and services."""
    routes = [["ip", "route", "replace", node.pods, "via", node.address] for node in everyone]
    entry = next((node for node in everyone if node.name == layout.WORKER), everyone[0])
    return [*routes, ["ip", "route", "replace", SERVICE_SUBNET, "via", entry.address]]


def connect_nodes(engine: Engine) -> str:
    """Configure pod networking on both nodes."""
    everyone = nodes()
    for node in everyone:
        for command in node_routes(node, everyone):
            engine.run("exec", node.name, *command, log=LOG)
        # Last, and in one move: kubelet reports the node ready as soon as it sees the file.
        write = f"cat > {CNI_FILE}.new && mv {CNI_FILE}.new {CNI_FILE}"
        shell.logged(
            ["docker", "exec", "--interactive", node.name, "sh", "-c", write],
            LOG,
            env=engine.environment(),
            stdin=cni_config(node.pods),
        )
    return "connected"


def connect_host() -> str:
    """Route pod and service addresses from the host into the cluster."""
    for command in host_routes(nodes()):
        shell.logged(command, LOG)
    return "routed"
