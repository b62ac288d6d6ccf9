# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The far side: a registry that comes out of a bundle, and nodes that have nothing else to pull from."""

from __future__ import annotations

import json
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.homeport.registry.plugins.module_utils._registry_stock import verify
from tests.lab.airgap.media import HOST, PRODUCT, Bundle, Media
from tests.lab.controller.depot import Depot
from tests.verify.airgap.platforms import HERE

KINDS = (
    "deployments,daemonsets,services,configmaps,secrets,cronjobs,jobs,persistentvolumeclaims,poddisruptionbudgets,"
    "networkpolicies,serviceaccounts,roles,rolebindings,leases"
)
# What the cluster has chosen.
CHOSEN = ("clusterIP", "clusterIPs", "volumeName")
CERTS, RECORD = "/etc/containerd/certs.d", "/var/lib/homeport/node_trust.json"
CTR = "ctr -n k8s.io"


class Site(Depot):
    """One registry on the cluster of the lab, all of it out of a bundle."""

    def __init__(self, kubeconfig: Path, scratch: Path, media: Media) -> None:
        """Know the first bundle and install nothing."""
        more = {
            "registry_storage_size": "1Gi",
            "registry_server_replicas": 1,
            "registry_ingress_exposure": "node_port",
            "registry_ingress_tls": "self_signed",
            "registry_auth_anonymous_pull": True,
            "registry_airgap_platforms": [f"linux/{HERE}"],
        }
        super().__init__(kubeconfig, scratch, **PRODUCT, **more)
        self.controller.groups["nodes"] = self.machines()
        self.nodes = sorted(self.controller.groups["nodes"]["hosts"])
        self.controller.variables = {"registry_airgap_trusted_keys": [media.public]}
        self.take(media.first)

    def take(self, bundle: Bundle) -> None:
        """Let the inventory name another bundle."""
        self.controller.variables["registry_airgap_bundle"] = [str(bundle.folder)]

    def on(self, node: str, script: str) -> str:
        """Run a script on a node, which in the lab is a container, and return what it prints."""
        line = ["docker", "exec", node, "sh", "-c", script]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=120).stdout

    def record(self, node: str) -> dict[str, t.Any]:
        """Return what a node remembers of whom it trusts."""
        found: dict[str, t.Any] = json.loads(self.on(node, f"cat {RECORD} || echo '{{}}'"))
        return found

    def empty_nodes(self, *nodes: str) -> None:
        """Take everything of this site away from nodes, by default from all, as if they had just joined."""
        for node in nodes or self.nodes:
            kept = self.record(node)
            for name in (HOST, self.host):
                kept.get("owned", {}).pop(name, None)
            places = [f"{CERTS}/{name}" for name in (HOST, self.host)]
            kept["directories"] = [name for name in kept.get("directories", []) if name not in places]
            names = f"{CTR} images ls -q | grep -F {HOST}/"
            write = f"echo '{json.dumps(kept)}' >{RECORD}" if kept.get("owned") else f"rm -f {RECORD}"
            self.on(node, f"{names} | xargs -r {CTR} images rm --sync >/dev/null; rm -rf {' '.join(places)}; {write}")

    # -- What there is ----------------------------------------------------------

    def authority(self) -> str:
        """Return what the registry has published as its authority; nothing where it has not."""
        maps = {one["metadata"]["name"]: one for one in self.get("configmaps", "-n", self.namespace)["items"]}
        return maps["depot-ca"]["data"]["ca.crt"] if "depot-ca" in maps else ""

    def objects(self) -> dict[str, t.Any]:
        """Return every object of the registry, without what the cluster has added and what is made anew each time."""
        found: dict[str, t.Any] = {}
        for one in self.get(KINDS, "-n", self.namespace)["items"]:
            name = one["metadata"]["name"]
            if one["metadata"].get("ownerReferences") or name in ("default", "kube-root-ca.crt"):
                continue
            labels = one["metadata"].get("labels", {})
            body = {key: one.get(key) for key in ("spec", "data", "rules", "roleRef", "subjects")} | {"labels": labels}
            if one["kind"] == "Secret":
                body["data"] = sorted(body["data"] or {})
            elif name.startswith("homeport-"):
                # The record of a role: what it has made.
                rows = [json.loads(row) for row in body["data"]["objects"].splitlines()]
                body["data"] = [(row["kind"], row["name"]) for row in rows]
            elif body["spec"]:
                body["spec"] = {key: value for key, value in body["spec"].items() if key not in CHOSEN}
                # Sums of passwords and keys.
                noted = body["spec"].get("template", {}).get("metadata", {}).get("annotations", {})
                noted.update(dict.fromkeys(noted, ""))
            found[f"{one['kind']}/{name}"] = body
        return found

    def served(self) -> dict[str, dict[str, str]]:
        """Return the tags and digests that the registry serves. Each byte of each image has to be there."""
        found = verify(self.session(self.authority()), ["*"], "full", threads=4, allow_sparse_indexes=True)
        assert found["verified"], found["problems"]
        return {name: held["tags"] for name, held in found["inventory"]["repositories"].items()}

    def images(self, node: str) -> dict[str, tuple[str, str]]:
        """Return the images of ours that a node has: by each name the digest and the labels."""
        rows = [row.split() for row in self.on(node, f"{CTR} images ls").splitlines()]
        return {row[0]: (row[2], row[-1]) for row in rows if row[0].startswith(f"{HOST}/")}

    def held(self, node: str) -> dict[str, t.Any]:
        """Return what a node has of ours: images, files of the runtime, and what it remembers."""
        owned = self.record(node).get("owned", {})
        return {
            "images": self.images(node),
            "promises": self.on(node, f"{CTR} namespaces ls | grep homeport || true"),
            "files": {
                name: self.on(node, f'cd {CERTS}/{name} && for file in *; do echo "== $file"; cat $file; done')
                for name in (HOST, self.host)
            },
            "owned": {
                name: (sorted(owned[name]["digests"]), owned[name]["before"], owned[name]["proof"]["how"])
                for name in (HOST, self.host)
            },
        }

    def state(self) -> dict[str, t.Any]:
        """Return all of it, with other names for what each installation calls differently."""
        found = {
            "objects": self.objects(),
            "served": self.served(),
            "nodes": {node: self.held(node) for node in self.nodes},
        }
        port = self.host.partition(":")[2]
        names = {self.authority(): "AUTHORITY", self.namespace: "NAMESPACE", self.host: "PLACE", port: "30000"}
        return t.cast("dict[str, t.Any]", renamed(found, names))


def renamed(node: t.Any, names: t.Mapping[str, str]) -> t.Any:
    """Return a document in which each of these words has another name."""
    if isinstance(node, dict):
        return {renamed(key, names): renamed(value, names) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [renamed(value, names) for value in node]
    if isinstance(node, int) and str(node) in names:
        return int(names[str(node)])
    if isinstance(node, str):
        for word, name in names.items():
            node = node.replace(word, name)
    return node
