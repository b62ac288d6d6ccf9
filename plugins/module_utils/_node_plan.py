# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What has to change on a node. Reads, and changes nothing. Private."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_containerd as containerd
from ansible_collections.homeport.registry.plugins.module_utils import _node_daemon_json as daemon_json
from ansible_collections.homeport.registry.plugins.module_utils import _node_directory as directory
from ansible_collections.homeport.registry.plugins.module_utils import _node_hosts_file as hosts_file
from ansible_collections.homeport.registry.plugins.module_utils import _node_pem as pem
from ansible_collections.homeport.registry.plugins.module_utils import _node_probe as probe
from ansible_collections.homeport.registry.plugins.module_utils._node_cri import Login
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import DistrustError, NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import Content, load, read
from ansible_collections.homeport.registry.plugins.module_utils._node_record import Owned, Record
from ansible_collections.homeport.registry.plugins.module_utils._node_restart import (
    Change,
    Restart,
    config_change,
    config_revert,
)
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import RANCHER_KINDS, Runtime

if t.TYPE_CHECKING:
    from ansible_collections.homeport.registry.plugins.module_utils._node_listing import Listing

SOON = 30


@dataclasses.dataclass(frozen=True)
class Wish:
    """A registry or a mirror that a node shall know, or forget.

    `mirror_of` is the upstream whose images the registry `name` serves below `prefix`, empty for an ordinary registry.
    """

    name: str
    present: bool
    authorities: list[pem.Authority]
    mirror_of: str = ""
    prefix: str = ""
    fallback: bool = True
    aliases: tuple[str, ...] = ()
    address: str = ""
    plain_http: bool = False
    insecure: bool = False
    replace_foreign: bool = False
    image: str = ""
    login: Login | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the names of its directories."""
        return (self.mirror_of,) if self.mirror_of else (self.name, *self.aliases)

    @property
    def daemon_entries(self) -> list[tuple[str, str]]:
        """Return its keys and values in Docker's daemon.json."""
        entries = []
        if self.present and (self.plain_http or self.insecure):
            entries += [("insecure-registries", name) for name in ((self.name,) if self.mirror_of else self.folders)]
        if self.present and self.mirror_of:
            entries.append(("registry-mirrors", f"{'http' if self.plain_http else 'https'}://{self.name}"))
        return entries

    @property
    def ca_text(self) -> str:
        """Return its CA certificates as one text."""
        return pem.bundle_text(self.authorities)

    def files(self, runtime: Runtime, root: str) -> dict[str, dict[str, str | None]]:
        """Return its files by directory name and path."""
        if not self.present:
            return {folder: {} for folder in self.folders}
        if self.mirror_of:
            scheme = "http" if self.plain_http else "https"
            mirror = directory.Mirror(
                self.mirror_of, f"{scheme}://{self.name}", self.ca_text, self.fallback, self.prefix
            )
            return {self.mirror_of: {**directory.mirror_files(mirror, root, runtime.kind, runtime.version)}}
        found: dict[str, dict[str, str | None]] = {}
        for folder in self.folders:
            trust = directory.Trust(folder, self.ca_text, self.plain_http, self.insecure)
            found[folder] = {**directory.trust_files(trust, root, runtime.kind)}
        return found


@dataclasses.dataclass
class Plan:
    """Everything that has to change, and what was seen on the way.

    `files` holds the wanted text of each file by directory name and path, None for one that must not be there.
    """

    changes: list[Change]
    restart: Restart | None
    files: dict[str, dict[str, str | None]]
    presented: dict[str, probe.Presented]
    warnings: list[str]
    # Entries of Docker's daemon.json that are ours, and what a reload has to bring into force.
    entries: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)
    reload: list[str] | None = None
    listing: Listing | None = None
    # Directory names that are in force only after a restart, which is not allowed.
    waiting: list[str] = dataclasses.field(default_factory=list)


def make_plan(
    wishes: t.Sequence[Wish],
    record: Record,
    runtime: Runtime,
    *,
    look: bool,
    timeout: float,
    restart_allowed: bool,
    restart_command: t.Sequence[str] = (),
    revert_config: bool = False,
    registries_yaml: str = "listed",
) -> Plan:
    """Compare a node with what is wanted.

    Args:
        wishes: registries and mirrors.
        record: what we own.
        runtime: as found.
        look: whether to look at the registries from the node.
        timeout: seconds for each look.
        restart_allowed: whether the runtime may be restarted at all.
        restart_command: how to restart a runtime that is no systemd service.
        revert_config: whether a removal also puts config_path back.
        registries_yaml: which registries belong into registries.yaml of k3s and RKE2.

    Raises:
        NodeError: when something has to be decided or repaired by a person first.
    """
    plan = Plan([], None, {}, {}, [])
    wanted = any(wish.present for wish in wishes)
    root = runtime.root or _planned_root(runtime)
    if wanted and not runtime.root:
        plan.restart = config_change(runtime, root, restart_command, restart_allowed)
    elif (
        revert_config and restart_allowed and not wanted and record.config.before and runtime.kind not in RANCHER_KINDS
    ):
        plan.restart = config_revert(runtime, record.config, restart_command)
    if runtime.kind in RANCHER_KINDS:
        # Imported here alone: nodes compile what they import at each run, and most have another runtime.
        from ansible_collections.homeport.registry.plugins.module_utils._node_listing import plan_listing, plan_start

        plan.listing = plan_listing(wishes, record, runtime, registries_yaml, restart_allowed=restart_allowed)
        plan_start(plan, plan.listing, runtime, restart_command, allowed=restart_allowed)
    listed = plan.listing.files if plan.listing else {}
    hosts_changes = _hosts_changes(wishes)
    found = [(wish, _wanted_files(wish, record, runtime, root, listed)) for wish in wishes]
    kept = {**_files_of_others(found, record), **_kept_files(found)}
    for wish, folders in found:
        for folder, files in folders.items():
            plan.files[folder] = files
            owned = record.owned.get(folder, Owned())
            if wish.present and folder in wish.folders and folder not in listed:
                ours = {*owned.digests}
                plan.warnings += directory.refuse_what_shadows(
                    folder, root, runtime.kind, ours, replace=wish.replace_foreign
                )
                # A hosts.toml of somebody else that we took away stays away.
                hosts = os.path.join(root, folder, "hosts.toml")
                if owned.digests.get(hosts) == "" or (wish.replace_foreign and os.path.exists(hosts)):
                    files.setdefault(hosts, None)
            done = {change.path for change in plan.changes}
            plan.changes += [
                change
                for change in _file_changes(files, owned, plan.warnings)
                if change.path not in done and (change.path in files or change.path not in kept)
            ]
        if wish.present:
            plan.warnings += _ageing(wish)
            if look:
                before = record.owned.get(wish.folders[0], Owned())
                plan.presented[wish.folders[0]] = _look(wish, before, timeout)
    plan.changes += [*hosts_changes, *_daemon_changes(wishes, record, runtime, plan)]
    plan.changes += [plan.listing.change] if plan.listing and plan.listing.change else []
    return plan


def _wanted_files(
    wish: Wish, record: Record, runtime: Runtime, root: str, listed: t.Mapping[str, dict[str, str | None]]
) -> dict[str, dict[str, str | None]]:
    """Return its files by directory name and path, with those of what it had and has not any more."""
    found = {**_dropped(wish, record), **wish.files(runtime, root)}
    return {folder: listed.get(folder, files) for folder, files in found.items()}


def _dropped(wish: Wish, record: Record) -> dict[str, dict[str, str | None]]:
    """Return the aliases that it had and that are not listed any more, without files."""
    return {
        folder: {}
        for folder, owned in record.owned.items()
        if owned.of == wish.folders[0] and folder not in wish.folders
    }


def _files_of_others(
    found: t.Sequence[tuple[Wish, dict[str, dict[str, str | None]]]], record: Record
) -> dict[str, str | None]:
    """Return the files that what this run does not speak of needs as well, by path."""
    folders = {folder for _wish, folders in found for folder in folders}
    return {path: None for key, owned in record.owned.items() if key not in folders for path in owned.digests}


def _kept_files(found: t.Sequence[tuple[Wish, dict[str, dict[str, str | None]]]]) -> dict[str, str | None]:
    """Return the files that stay, by path.

    Raises:
        NodeError: when two entries want one directory, or one file with different contents.
    """
    seen: set[str] = set()
    kept: dict[str, str | None] = {}
    for wish, folders in found:
        for folder, files in folders.items():
            twice = folder in seen or any(kept.get(path, text) != text for path, text in files.items())
            if twice:
                raise NodeError(
                    "plan the registries",
                    where=folder,
                    got="two entries want the same directory",
                    remedy="Name each registry, alias and mirrored upstream once, with the same CAs each time.",
                )
            seen.add(folder)
            if wish.present:
                kept.update(files)
    return kept


def _daemon_changes(wishes: t.Sequence[Wish], record: Record, runtime: Runtime, plan: Plan) -> list[Change]:
    """Return the change of Docker's daemon.json, and note in the plan which entries are ours."""
    if runtime.kind != "docker":
        return []
    wanted: dict[str, list[str]] = {}
    ours: dict[str, list[str]] = {}
    for wish in wishes:
        for key, values in record.entries.get(wish.folders[0], {}).items():
            ours.setdefault(key, []).extend(values)
        for key, value in wish.daemon_entries:
            wanted.setdefault(key, []).append(value)
    if not wanted and not ours:
        return []
    daemon_json.refuse_flags(runtime.pid, wanted)
    path = daemon_json.path_of(runtime.pid)
    current, first = read(path), load(record.config.before.get(path))
    text = current.data.decode("utf-8") if current else None
    after = daemon_json.merged(text, path, wanted, ours)
    for wish in wishes:
        own: dict[str, list[str]] = {}
        for key, value in wish.daemon_entries:
            own.setdefault(key, []).append(value)
        plan.entries[wish.folders[0]] = daemon_json.added(text, own, ours)
    if after == text:
        return []
    content = dataclasses.replace(current or Content(b""), data=after.encode()) if after is not None else None
    if path in record.config.before and daemon_json.same(after, first.data.decode() if first else None):
        content = first
    plan.reload = sorted(value for values in wanted.values() for value in values)
    return [Change(path, current, content)]


def _planned_root(runtime: Runtime) -> str:
    return runtime.config_path.partition(":")[0] or containerd.DEFAULT_ROOT


def _file_changes(files: t.Mapping[str, str | None], owned: Owned, warnings: list[str]) -> list[Change]:
    changes = []
    for path, text in files.items():
        current = read(path)
        wanted = None if text is None else Content(text.encode(), 0o644, os.geteuid(), os.getegid())
        if current != wanted:
            changes.append(Change(path, current, wanted))
    for path, digest in owned.digests.items():
        if path in files:
            continue
        current, before = read(path), load(owned.before.get(path))
        if current is not None and current.sha256 != digest:
            warnings.append(f"{path} is not as we wrote it; it stays")
        elif current != before:
            changes.append(Change(path, current, before))
    return changes


def _hosts_changes(wishes: t.Sequence[Wish]) -> list[Change]:
    current = read(hosts_file.PATH)
    if current is None and not any(wish.address for wish in wishes):
        return []
    text = wanted = current.data.decode("utf-8", "surrogateescape") if current else ""
    for host, address in _addresses(wishes).items():
        wanted = hosts_file.with_line(wanted, host, address)
    if wanted == text:
        return []
    data = wanted.encode("utf-8", "surrogateescape")
    return [Change(hosts_file.PATH, current, dataclasses.replace(current or Content(b""), data=data))]


def addressed(wishes: t.Sequence[Wish]) -> list[Wish]:
    """Return the wishes, each with the address that any of them gives its host.

    Raises:
        NodeError: when two of them give a host different addresses.
    """
    known = _addresses(wishes)
    return [
        dataclasses.replace(wish, address=known[probe.split_host(wish.name)[0]]) if wish.present else wish
        for wish in wishes
    ]


def _addresses(wishes: t.Sequence[Wish]) -> dict[str, str]:
    """Return the address of each host, empty for none; a host that is a registry and a mirror needs it once.

    Raises:
        NodeError: when two entries give a host different addresses.
    """
    found: dict[str, str] = {}
    for wish in wishes:
        host, address = probe.split_host(wish.name)[0], wish.address if wish.present else ""
        before = found.setdefault(host, address)
        if address and before and address != before:
            raise NodeError(
                f"give {host} an address",
                where=hosts_file.PATH,
                got=f"one entry says {before}, another {address}",
                remedy="Give the host the same address each time, or only once.",
            )
        found[host] = before or address
    return found


def _ageing(wish: Wish) -> list[str]:
    warnings = [
        f"the CA {one.subject} of {wish.name} expires in {one.days_left} days"
        for one in wish.authorities
        if one.days_left < SOON
    ]
    if wish.insecure:
        warnings.append(f"the certificate of {wish.name} is not verified (insecure)")
    if wish.plain_http:
        warnings.append(f"{wish.name} is reached without TLS (plain_http)")
    return warnings


def _look(wish: Wish, owned: Owned, timeout: float) -> probe.Presented:
    if wish.plain_http:
        with probe.connect(wish.name, wish.address, timeout, 80) as plain:
            return probe.Presented(plain.getpeername()[0], "", "", "", [], "", "", "")
    try:
        return probe.look(wish.name, wish.address, wish.ca_text, timeout, verify=not wish.insecure)
    except DistrustError as exc:
        _guard_rotation(wish, owned, timeout, exc)
        raise


def _guard_rotation(wish: Wish, owned: Owned, timeout: float, exc: DistrustError) -> None:
    """Say so when it is our own change that would take a CA away that is still needed.

    Raises:
        NodeError: in that case.
    """
    for path in owned.digests:
        current = read(path) if path.endswith("ca.crt") else None
        if current is None:
            continue
        text = current.data.decode("utf-8", "replace")
        if text != wish.ca_text and probe.trusts(wish.name, wish.address, text, timeout):
            kept = {one.sha256 for one in wish.authorities}
            dropped = [one for one in pem.fingerprints(text) if one not in kept]
            raise DistrustError(
                "drop a CA",
                where=path,
                got=f"{exc.where} still shows a certificate that only the old CA vouches for"
                f" (SHA-256 {', '.join(one[:16] for one in dropped)})",
                remedy="Keep both CAs in ca_certificates, give the server a certificate of the new one, then drop"
                " the old one.",
            ) from exc
