# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The directory of one registry: which files belong there, and what in it would keep them from working. Private."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import read
from ansible_collections.homeport.registry.plugins.module_utils._node_managers import is_kubespray, kubespray_hosts
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import RANCHER_KINDS
from ansible_collections.homeport.registry.plugins.module_utils._node_toml import quote

HEADER = "# Made by homeport.registry."
_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[-.a-zA-Z0-9]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
# They read registries.conf.d, by one library.
CONTAINERS_KINDS = ("crio", "podman")
# Image names without a host mean this one, whose API has another name.
_SERVERS = {"docker.io": "https://registry-1.docker.io"}


@dataclasses.dataclass(frozen=True)
class Trust:
    """What a node shall know of one registry.

    Args:
        name: host and port as in image names.
        ca_text: CA certificates in PEM form, may be empty.
        plain_http: whether the registry has no TLS.
        insecure: whether its certificate is not verified.
    """

    name: str
    ca_text: str
    plain_http: bool = False
    insecure: bool = False


@dataclasses.dataclass(frozen=True)
class Mirror:
    """Where images of an upstream registry are fetched from.

    Args:
        upstream: host and port as in image names.
        endpoint: URL of the mirror.
        ca_text: CA certificates of the mirror in PEM form, may be empty.
        fallback: whether the upstream is asked when the mirror does not have an image.
        prefix: what stands before the names of the upstream's repositories in the mirror, may be empty.
    """

    upstream: str
    endpoint: str
    ca_text: str
    fallback: bool
    prefix: str = ""

    @property
    def url(self) -> str:
        """Return the address of its API as containerd takes it, together with `override`."""
        return f"{self.endpoint}/v2/{self.prefix}" if self.prefix else self.endpoint

    @property
    def override(self) -> list[str]:
        """Return what keeps containerd from putting /v2 behind the prefix."""
        return ["override_path = true"] if self.prefix else []


def check_name(name: str, what: str) -> str:
    """Return the name of a registry as image names spell it.

    Raises:
        NodeError: for a URL, a path, and for _default.
    """
    if name == "_default":
        raise NodeError(
            f"use {what}",
            where=name,
            got="that would send every image of the node through one registry, those that start it included",
            remedy="Name the registries one by one.",
        )
    if not _HOST.fullmatch(name):
        raise NodeError(
            f"use {what}",
            where=name or "an empty name",
            got="it is no host name with an optional port",
            remedy="Write what image names begin with, such as registry.example.com or registry.example.com:5000.",
        )
    return name


def server_of(upstream: str) -> str:
    """Return the address of a registry's API."""
    return _SERVERS.get(upstream, f"https://{upstream}")


def trust_files(trust: Trust, root: str, kind: str) -> dict[str, str]:
    """Return the files of a registry by path. Most registries need the CA and nothing else.

    Args:
        trust: what to write down.
        root: directory of the runtime that holds one directory per registry.
        kind: of runtime.

    Raises:
        NodeError: when the runtime has no file for it.
    """
    folder = os.path.join(root, trust.name)
    files = {os.path.join(folder, "ca.crt"): trust.ca_text} if trust.ca_text else {}
    if (trust.plain_http or trust.insecure) and kind in CONTAINERS_KINDS:
        lines = [*_registry(trust.name, trust.name), "insecure = true"]
        files[_conf(root, trust.name)] = "\n".join(lines) + "\n"
    elif (trust.plain_http or trust.insecure) and kind != "docker":
        lines = [HEADER, f"server = {quote(('http' if trust.plain_http else 'https') + '://' + trust.name)}"]
        if not trust.plain_http:
            lines.append("skip_verify = true")
        files[os.path.join(folder, "hosts.toml")] = _finish(lines)
    return files


def mirror_files(mirror: Mirror, root: str, kind: str, version: tuple[int, ...]) -> dict[str, str]:
    """Return the files of a mirror by path, valid for this version of the runtime.

    Raises:
        NodeError: when the runtime cannot do it.
    """
    if kind in (*CONTAINERS_KINDS, "docker"):
        return _other_mirror_files(mirror, root, kind)
    folder = os.path.join(root, mirror.upstream)
    certificate = os.path.join(folder, "ca.crt")
    ca = [f"ca = {quote(certificate)}"] if mirror.ca_text else []
    # Older versions ignore the key. It bounds the connection only, which would otherwise take 30 seconds.
    limit = ['dial_timeout = "3s"'] if version >= (2, 1) else []
    if mirror.fallback:
        lines = [HEADER, f"server = {quote(server_of(mirror.upstream))}", "", f"[host.{quote(mirror.url)}]"]
        lines += [f"  {line}" for line in ('capabilities = ["pull", "resolve"]', *mirror.override, *ca, *limit)]
        text = "\n".join(lines) + "\n"
    else:
        # With the mirror as the server itself nothing else is ever asked.
        text = _finish(
            [
                HEADER,
                f"server = {quote(mirror.url)}",
                'capabilities = ["pull", "resolve"]',
                *mirror.override,
                *ca,
                *limit,
            ]
        )
    files = {os.path.join(folder, "hosts.toml"): text}
    if mirror.ca_text:
        files[certificate] = mirror.ca_text
    return files


def _finish(lines: list[str]) -> str:
    # Without a host table, containerd before 1.7.32 drops the whole file and says so in its log only.
    return "\n".join([*lines, "", "[host]"]) + "\n"


def _conf(root: str, name: str) -> str:
    safe = re.sub(r"[^a-zA-Z0-9.-]", "-", name)
    return os.path.join(os.path.dirname(root), "registries.conf.d", f"90-homeport-{safe}.conf")


def _registry(prefix: str, location: str) -> list[str]:
    return [HEADER, "[[registry]]", f"prefix = {quote(prefix)}", f"location = {quote(location)}"]


def _other_mirror_files(mirror: Mirror, root: str, kind: str) -> dict[str, str]:
    """Return the files of a mirror for runtimes that have no hosts.toml; those of Docker's are in daemon.json."""
    name = mirror.endpoint.partition("//")[2]
    files = {os.path.join(root, name, "ca.crt"): mirror.ca_text} if mirror.ca_text else {}
    if kind == "docker":
        if mirror.upstream != "docker.io" or not mirror.fallback or mirror.prefix:
            raise NodeError(
                "set a mirror",
                where=mirror.upstream,
                got="Docker has mirrors of docker.io only, without a prefix, and always asks that too",
                remedy="Name the mirror itself in image names, or leave these nodes out.",
            )
        return files
    insecure = ["insecure = true"] if mirror.endpoint.startswith("http:") else []
    name = f"{name}/{mirror.prefix}" if mirror.prefix else name
    if mirror.fallback:
        lines = [*_registry(mirror.upstream, mirror.upstream), "", "[[registry.mirror]]", f"location = {quote(name)}"]
    else:
        # Under another location the upstream is never asked.
        lines = _registry(mirror.upstream, name)
    files[_conf(root, mirror.upstream)] = "\n".join([*lines, *insecure]) + "\n"
    return files


def generated(root: str, host: str) -> str:
    """Return what k3s has made of the file for a registry, empty for nothing."""
    content = read(os.path.join(root, host, "hosts.toml"))
    text = content.data.decode("utf-8", "replace") if content else ""
    return text if "DO NOT EDIT" in text.partition("\n")[0] else ""


def _remedy_for_foreign(name: str, kind: str, root: str) -> str:
    if kind == "containerd" and is_kubespray():
        return kubespray_hosts(name)
    if kind not in RANCHER_KINDS or not generated(root, name):
        return "Delete it, or let it be replaced (and put back on removal): replace_foreign: true."
    # It makes the file from its own list at each start, so whatever replaced it would be gone after the next one.
    entry = f"{json.dumps(name)}: {{tls: {{ca_file: <path of the CA certificate>}}}}"
    return (
        f"{kind} makes it from /etc/rancher/{kind}/registries.yaml. Let the entry be added there (registries_yaml:"
        f" listed), or add it yourself below configs, {entry}, and restart {kind}; or take {name} out of that file and"
        f" restart {kind}: then it needs no entry."
    )


def refuse_what_shadows(name: str, root: str, kind: str, ours: t.Collection[str], *, replace: bool) -> list[str]:
    """Look for files of others that would win over ours; return warnings.

    Args:
        name: of the registry.
        root: directory that holds one directory per registry.
        kind: of runtime.
        ours: paths that we wrote earlier or are about to write.
        replace: whether a hosts.toml of somebody else may be replaced.

    Raises:
        NodeError: naming what is in the way and what to do about it.
    """
    if os.path.isdir(os.path.join(root, "_backup")):
        raise NodeError(
            "own a directory for the registry",
            where=os.path.join(root, "_backup"),
            got="Spegel owns this place: at each of its starts it moves everything else into _backup",
            remedy="Let Spegel add to what is there (prependExisting: true), or remove it, and delete _backup.",
        )
    host, _colon, port = name.rpartition(":")
    twin = os.path.join(root, f"{host}_{port}_") if host and kind not in ("docker", "podman", "crio") else ""
    if twin and os.path.isdir(twin):
        raise NodeError(
            "own a directory for the registry",
            where=twin,
            got=f"this other spelling of {name} exists, and containerd looks there first, even when it is empty",
            remedy="Move what is needed out of it and delete it.",
        )
    folder = os.path.join(root, name)
    present = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if "hosts.toml" in present and os.path.join(folder, "hosts.toml") not in ours and not replace:
        raise NodeError(
            "own a directory for the registry",
            where=os.path.join(folder, "hosts.toml"),
            got="somebody else wrote this file, and with it containerd does not read ca.crt",
            remedy=_remedy_for_foreign(name, kind, root),
        )
    for entry in present:
        stem, extension = os.path.splitext(entry)
        if extension == ".cert" and f"{stem}.key" not in present:
            raise NodeError(
                "own a directory for the registry",
                where=os.path.join(folder, entry),
                got="a client certificate without its key makes every pull fail",
                remedy=f"Add {stem}.key, or delete the file; CA certificates end in .crt.",
            )
    others = [entry for entry in present if entry.endswith(".crt") and os.path.join(folder, entry) not in ours]
    return [f"{os.path.join(folder, entry)} is trusted too, and is not ours" for entry in others if entry != "ca.crt"]
