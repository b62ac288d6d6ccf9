# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: engine, cluster, nodes."""

from __future__ import annotations

from dataclasses import dataclass

from lab import cluster, daemon, engine, kubectl, layout


@dataclass(frozen=True)
class Report:
    """The lines to print, and whether the cluster is finished and answers."""

    lines: list[str]
    ready: bool


def report() -> Report:
    """Look at everything without changing anything."""
    lines = [f"cache       {layout.cache()}"]
    running = engine.current()
    if running is None:
        own = "the lab's own engine is not running" if daemon.pid() is None else "the lab's own engine does not answer"
        return Report([*lines, f"engine      none ({own})", "cluster     none"], ready=False)
    version = running.ask("version", "--format", "{{.Server.Version}}")
    lines.append(f"engine      {running.kind}, docker {version}, {running.host or 'default address'}")
    found = cluster.containers(running)
    if not found:
        return Report([*lines, "cluster     none"], ready=False)
    lines += [f"container   {name}: {state}" for name, state in sorted(found.items())]
    if not layout.KUBECONFIG.exists():
        why = "not known to this checkout; python3 -m lab up takes it over, or makes it anew"
        return Report([*lines, f"cluster     {why}"], ready=False)
    mark = cluster.marker()
    if not mark:
        why = "unfinished or not answering; python3 -m lab up makes it anew"
        return Report([*lines, f"cluster     {why}"], ready=False)
    lines.append(f"cluster     {layout.CLUSTER}, images by {mark['flavour']}, Kubernetes {mark['kubernetes']}")
    lines += [f"node        {line}" for line in node_lines()]
    lines.append(f"kubeconfig  {layout.KUBECONFIG}")
    return Report(lines, ready=True)


def node_lines() -> list[str]:
    """Return one line on each node."""
    lines = []
    for item in (kubectl.read("nodes") or {}).get("items", []):
        conditions = {entry["type"]: entry["status"] for entry in item["status"]["conditions"]}
        info = item["status"]["nodeInfo"]
        state = "Ready" if conditions.get("Ready") == "True" else "NotReady"
        name = item["metadata"]["name"]
        lines.append(f"{name}: {state}, {info['kubeletVersion']}, {info['containerRuntimeVersion']}")
    return lines
