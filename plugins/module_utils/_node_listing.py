# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which registries belong into registries.yaml of k3s or RKE2, and what waits for a restart. Private."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_rancher as rancher
from ansible_collections.homeport.registry.plugins.module_utils._node_directory import generated
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import load, read
from ansible_collections.homeport.registry.plugins.module_utils._node_rancher import Entry, RegistriesYaml
from ansible_collections.homeport.registry.plugins.module_utils._node_record import Owned, Record
from ansible_collections.homeport.registry.plugins.module_utils._node_restart import Change, Restart, service_for
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import Runtime

if t.TYPE_CHECKING:
    from ansible_collections.homeport.registry.plugins.module_utils._node_plan import Plan, Wish


@dataclasses.dataclass
class Listing:
    """What is done in registries.yaml.

    Args:
        path: of the file, empty where the runtime has none.
        files: wanted texts by directory name and path, of the registries that are done there.
        ours: entries of ours, by the first directory name of a registry.
        wanted: entries that have to be in force, by directory name.
        gone: files that must not be in force any more, by directory name.
        change: of the file.
        waiting: directory names for which k3s has to read the file first.
        warnings: for the user.
    """

    path: str = ""
    files: dict[str, dict[str, str | None]] = dataclasses.field(default_factory=dict)
    ours: dict[str, list[Entry]] = dataclasses.field(default_factory=dict)
    wanted: dict[str, list[Entry]] = dataclasses.field(default_factory=dict)
    gone: dict[str, str] = dataclasses.field(default_factory=dict)
    change: Change | None = None
    waiting: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def unread(self, root: str) -> list[str]:
        """Return the directory names for which k3s has not read the file as it shall be."""
        found = [
            folder
            for folder, entries in self.wanted.items()
            if not all(entry.is_in_force(generated(root, folder)) for entry in entries)
        ]
        return found + [folder for folder, path in self.gone.items() if f'"{path}"' in generated(root, folder)]

    def refuse_unread(self, root: str) -> None:
        """Refuse a node on which a restart did not bring the entries into force.

        Raises:
            NodeError: naming them.
        """
        unread = self.unread(root)
        if unread:
            raise NodeError(
                "see the new entries in force",
                where=self.path,
                got=f"what was made of it for {', '.join(unread)} is as it was",
                remedy="Look whether this is the file that it reads (private-registry), and into its log.",
            )

    @property
    def reason(self) -> str:
        """Say why a restart is needed."""
        return f"{self.path} is read at the start only, and has to be for {', '.join(self.waiting)}"


def plan_listing(
    wishes: t.Sequence[Wish], record: Record, runtime: Runtime, mode: str, *, restart_allowed: bool
) -> Listing:
    """Compare registries.yaml with what is wanted; reads, and changes nothing.

    Args:
        wishes: registries and mirrors.
        record: what we own.
        runtime: as found.
        mode: listed, always or never.
        restart_allowed: whether the runtime may be restarted.

    Raises:
        NodeError: when the file cannot be changed safely.
    """
    if not runtime.root:
        return Listing()
    file = RegistriesYaml(runtime.kind, runtime.root)
    listing = Listing(file.path)
    named = {wish.folders[0] for wish in wishes}
    others = [rancher.load(one) for key, found in record.listed.items() if key not in named for one in found]
    known = [*others, *(rancher.load(one) for key in named for one in record.listed.get(key, []))]
    for wish in wishes:
        listing.ours[wish.folders[0]] = []
        for folder in wish.folders if wish.present else ():
            mine = [entry for entry in known if folder in entry.path]
            _plan_folder(listing, file, wish, folder, mode if not mine else "always", known)
    staying = [*others, *(entry for entries in listing.ours.values() for entry in entries)]
    first = load(record.config.before[file.path]) if file.path in record.config.before else file.before
    text = first.data.decode("utf-8", "surrogateescape") if first else ""
    for entry in known:
        replaced = any(entry.path == one.path and not entry.item for one in staying)
        if entry not in staying and not replaced:
            warning = file.drop(entry, rancher.Document("" if file.error else text, file.path))
            listing.warnings += [warning] if warning else []
    after = file.content(first, last=not staying)
    if after != file.before:
        listing.change = Change(file.path, file.before, after, file.shown)
    listing.warnings += _warn_of_a_start(listing, file, wishes, runtime)
    _note_gone(listing, wishes, record, runtime, {entry.value for entry in staying})
    listing.waiting = listing.unread(runtime.root)
    _keep_what_is_read(listing, wishes, record, runtime, restart_allowed=restart_allowed)
    return listing


def plan_start(
    plan: Plan, listing: Listing, runtime: Runtime, restart_command: t.Sequence[str], *, allowed: bool
) -> None:
    """Plan the restart that lets k3s or RKE2 read its file, or say that it is still to come.

    Args:
        plan: gets the restart, and warnings.
        listing: what is to be changed in the file.
        runtime: as found.
        restart_command: how to restart it, empty for its service.
        allowed: whether it may be restarted.
    """
    plan.warnings += listing.warnings
    if listing.waiting and allowed:
        plan.restart = Restart(listing.reason, service_for(runtime, restart_command), listing.path, None, runtime.root)
    elif listing.waiting:
        plan.waiting = listing.waiting
        plan.warnings.append(
            f"{', '.join(listing.waiting)}: in force after the next start of {runtime.kind}, which alone reads"
            f" {listing.path}; a restart is not allowed now (registry_node_trust_restart: never)"
        )


def _plan_folder(
    listing: Listing, file: RegistriesYaml, wish: Wish, folder: str, mode: str, known: t.Sequence[Entry]
) -> None:
    entries = _entries(file.kind, wish, folder)
    host = wish.name if wish.mirror_of else folder
    made = generated(file.root, folder)
    authority = rancher.ca_path(file.kind, host)
    others = [entry for entry in entries if entry.value != authority]
    by_hand = wish.ca_text and file.trusts(folder, host, [one.sha256 for one in wish.authorities])
    if by_hand and made and all(entry.is_in_force(made) for entry in others):
        listing.files[folder] = {}
        return
    if mode == "never" or (not (entries and mode == "always") and not file.mentions(folder)):
        return
    if wish.mirror_of and not wish.fallback:
        raise NodeError(
            f"list a mirror for {file.kind}",
            where=f"{file.path}, mirrors.{folder}",
            got="it can leave the upstream out for all registries only (--disable-default-registry-endpoint)",
            remedy=f"Take {folder} out of the file and restart {file.kind}, or let the upstream be asked too:"
            " fallback: true.",
        )
    listing.files[folder] = {authority: wish.ca_text} if len(others) < len(entries) else {}
    listing.wanted[folder] = entries
    # A registry and the mirror that it is share the entry of its CA.
    known = [*known, *(entry for found in listing.ours.values() for entry in found)]
    for entry in entries:
        mine = any(entry == one or (entry.path == one.path and not entry.item) for one in known)
        if file.add(entry, ours=mine, replace=wish.replace_foreign):
            listing.ours[wish.folders[0]].append(entry)


def _warn_of_a_start(
    listing: Listing, file: RegistriesYaml, wishes: t.Sequence[Wish], runtime: Runtime
) -> t.Iterator[str]:
    """Say what having a directory of its own means for registries that the file does not mention."""
    own = [
        folder
        for wish in wishes
        for folder in (wish.folders if wish.present else ())
        if folder not in listing.files and _entries(file.kind, wish, folder)
    ]
    if own and file.document.get("mirrors", "*") is not None:
        yield f'{", ".join(own)}: with a directory of its own, the mirrors of "*" in {file.path} do not count for it'
    if own and runtime.version < rancher.KEEPS_OTHERS:
        yield (
            f"{', '.join(own)}: this release of {file.kind} removes such directories at each start; upgrade it, or list"
            " them in its own file (registries_yaml: always)"
        )


def _entries(kind: str, wish: Wish, folder: str) -> list[Entry]:
    """Return what has to be in the file for one directory name."""
    host = wish.name if wish.mirror_of else folder
    found = []
    if wish.mirror_of or wish.plain_http:
        scheme = "http" if wish.plain_http else "https"
        path = f"/v2/{wish.prefix}" if wish.prefix else ""
        found.append(Entry(("mirrors", folder, "endpoint"), f"{scheme}://{host}{path}", item=True))
    if wish.insecure:
        found.append(Entry(("configs", host, "tls", "insecure_skip_verify"), "true"))
    if wish.ca_text and not wish.plain_http:
        found.append(Entry(("configs", host, "tls", "ca_file"), rancher.ca_path(kind, host)))
    return found


def _note_gone(
    listing: Listing, wishes: t.Sequence[Wish], record: Record, runtime: Runtime, staying: t.Collection[str]
) -> None:
    """Note the files of CAs that go, where k3s may still name them."""
    home = os.path.dirname(os.path.dirname(rancher.ca_path(runtime.kind, "x")))
    keys = {wish.folders[0] for wish in wishes}
    for folder, owned in record.owned.items():
        if (owned.of or folder) in keys and folder not in listing.wanted:
            for path in owned.digests:
                if path.startswith(f"{home}/") and path not in staying:
                    listing.gone[folder] = path


def _keep_what_is_read(
    listing: Listing, wishes: t.Sequence[Wish], record: Record, runtime: Runtime, *, restart_allowed: bool
) -> None:
    """Keep until the restart what is read until then: a CA that is named and missing makes every pull fail."""
    for wish in wishes:
        for folder in wish.folders if wish.present else ():
            if folder in listing.waiting and folder in listing.wanted:
                live = os.path.join(runtime.root, folder)
                for path, digest in record.owned.get(folder, Owned()).digests.items():
                    content = read(path) if path.startswith(f"{live}/") and digest else None
                    if content:
                        text = content.data.decode("utf-8", "surrogateescape")
                        listing.files[folder][path] = wish.ca_text if path.endswith("/ca.crt") else text
    for folder, path in listing.gone.items():
        content = read(path)
        if folder in listing.waiting and not restart_allowed and content:
            listing.files.setdefault(folder, {})[path] = content.data.decode("utf-8", "surrogateescape")
            listing.warnings.append(f"{path} stays until {runtime.kind} was restarted; run again then")
