# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Bring a node to trust registries: plan, write, restart only if forced, prove, or put everything back. Private."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_cri as cri
from ansible_collections.homeport.registry.plugins.module_utils import _node_daemon_json as daemon_json
from ansible_collections.homeport.registry.plugins.module_utils import _node_runtime as runtimes
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError, UnresolvedError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import (
    load,
    make_directories,
    put,
    read,
    remove_directories,
)
from ansible_collections.homeport.registry.plugins.module_utils._node_plan import (
    Change,
    Plan,
    Wish,
    addressed,
    make_plan,
)
from ansible_collections.homeport.registry.plugins.module_utils._node_record import Owned, hold, open_record
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import Runtime

# Go programs, as runtimes are, look at /etc/hosts again after 5 seconds.
HOSTS_CACHE = 7


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to go about it; times in seconds.

    `verify` is cri, tls or none; `restart` never, plan or now; `registries_yaml` listed, always or never.
    """

    runtime: str = "auto"
    endpoint: str = ""
    verify: str = "cri"
    restart: str = "never"
    restart_command: tuple[str, ...] = ()
    revert_config: bool = False
    registries_yaml: str = "listed"
    record: str = ""
    timeout: float = 10
    pull_timeout: float = 120
    ready_timeout: float = 120


def digest(text: str | None) -> str:
    """Return the digest of a text, empty for a file that must not be there."""
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


class Rollout:
    """One node, one run."""

    def __init__(self, wishes: t.Sequence[Wish], settings: Settings, *, check: bool) -> None:
        """Wait for other runs, read the record and find the runtime; undo first what an interrupted run left.

        Raises:
            NodeError: when the node is not in order, or another run does not end.
        """
        self.wishes, self.settings, self.check = addressed(wishes), settings, check
        self.warnings: list[str] = []
        self.actions: list[str] = []
        self._held = hold(settings.record, settings.pull_timeout + settings.ready_timeout)
        self.record = open_record(settings.record)
        self._recover()
        self.runtime = self._find_runtime()
        self.plan = self._make_plan()
        self.proofs: dict[str, dict[str, t.Any]] = {}

    @property
    def waits_for_restart(self) -> bool:
        """Whether nothing was done because a restart has to be announced first."""
        return self.plan.restart is not None and self.settings.restart == "plan"

    @property
    def changes(self) -> list[Change]:
        """Every file that changes, the configuration of the runtime last."""
        restart = self.plan.restart
        return [*self.plan.changes, *([restart.change] if restart and restart.change else [])]

    def run(self) -> None:
        """Do what the plan says, unless it is a check or waits for a restart.

        Raises:
            NodeError: after everything was put back.
        """
        restart = self.plan.restart
        self.actions += [change.action for change in self.changes]
        if restart:
            self.actions.append(f"restart {restart.service.name}: {restart.reason}")
        if self.check or self.waits_for_restart:
            self._note_proofs(pull=False)
            return
        if self.changes or restart:
            self._apply()
        elif self._note_proofs(pull=True) or self._forgets():
            self._remember([])

    def _forgets(self) -> bool:
        """Tell whether something goes of which every file stays, since others need it too."""
        owned = {*self.record.owned, *self.record.listed, *self.record.entries}
        return any(folder in owned for wish in self.wishes if not wish.present for folder in wish.folders)

    def _find_runtime(self) -> Runtime:
        if self.record.runtime:
            known = runtimes.load(self.record.runtime)
            asked = self.settings.endpoint.removeprefix("unix://")
            same_kind = self.settings.runtime in ("auto", known.kind)
            if same_kind and asked in ("", known.endpoint) and known.still_true():
                return known
        return runtimes.find(self.settings.runtime, self.settings.endpoint)

    def _make_plan(self) -> Plan:
        plan = make_plan(
            self.wishes,
            self.record,
            self.runtime,
            look=self.settings.verify != "none",
            timeout=self.settings.timeout,
            restart_allowed=self.settings.restart != "never",
            restart_command=self.settings.restart_command,
            revert_config=self.settings.revert_config,
            registries_yaml=self.settings.registries_yaml,
        )
        self.warnings += plan.warnings
        return plan

    def _apply(self) -> None:
        made: list[str] = []
        restarting = False
        try:
            for change in self.changes:
                if change.after is not None:
                    made += make_directories(os.path.dirname(change.path))
            self.record.pending = {one.path: one.before.dump() if one.before else None for one in self.changes}
            self.record.pending_directories = made
            self.record.restarting = self.plan.restart is not None
            self.record.save()
            for change in self.changes:
                put(change.path, change.after)
            self._reload()
            if self.plan.restart:
                restarting = True
                self.plan.restart.service.restart_now(self.settings.ready_timeout)
                self._settle(self.plan.restart.root)
            self._note_proofs(pull=True)
        except BaseException as exc:
            self._put_back(made, restarting, exc)
            raise
        self._remember(made)

    def _reload(self) -> None:
        """Let a runtime that does not look by itself read its lists again."""
        if any("registries.conf.d" in change.path for change in self.changes) and self.runtime.kind == "crio":
            self._hang_up()
        if self.plan.reload is not None:
            self._hang_up()
            cri.wait_for_lists(self.runtime, self.plan.reload, self.settings.ready_timeout)

    def _hang_up(self) -> None:
        try:
            os.kill(self.runtime.pid, signal.SIGHUP)
        except OSError as exc:
            raise NodeError(
                "let the runtime read its lists again",
                where=f"process {self.runtime.pid} ({self.runtime.program})",
                got=str(exc.strerror or exc),
                remedy=f"It may have ended meanwhile: journalctl -u {self.runtime.kind}. Start it and run again.",
            ) from exc

    def _settle(self, root: str) -> None:
        cri.wait_ready(self.runtime, self.settings.ready_timeout)
        self.runtime = runtimes.find(self.runtime.kind, self.runtime.endpoint)
        if root and self.runtime.root != root:
            raise NodeError(
                "see the new configuration in force",
                where=self.runtime.config,
                got=self.runtime.reason or f"containerd reads {self.runtime.root}",
                remedy="Look for another program that writes this file.",
            )
        if self.plan.listing:
            self.plan.listing.refuse_unread(self.runtime.root)

    def _put_back(self, made: list[str], restarting: bool, cause: BaseException) -> None:
        """Restore every file, and the runtime with the old ones; what fails here is added to the cause."""
        try:
            for change in reversed(self.changes):
                put(change.path, change.before)
            remove_directories(made)
            if self.plan.reload is not None:
                self._hang_up()
            if restarting and self.plan.restart:
                self.plan.restart.service.restart_now(self.settings.ready_timeout)
                cri.wait_ready(self.runtime, self.settings.ready_timeout)
            self.record.pending, self.record.pending_directories, self.record.restarting = {}, [], False
            self.record.save()
        except NodeError as exc:
            if isinstance(cause, NodeError):
                cause.got += f"; then putting everything back failed too: {exc}"
                cause.args = (f"{cause.args[0]} Putting everything back failed too: {exc}",)
            return
        if isinstance(cause, NodeError):
            cause.args = (f"{cause.args[0]} Every file is as it was before.",)

    def _recover(self) -> None:
        if not self.record.pending:
            return
        self.actions.append("put back what an interrupted run had changed")
        if self.check:
            self.warnings.append("a run was interrupted here; the next one puts its changes back first")
            return
        for path, before in self.record.pending.items():
            put(path, load(before))
        remove_directories(self.record.pending_directories)
        if self.record.restarting:
            runtime = runtimes.find(self.settings.runtime, self.settings.endpoint)
            service = runtimes.process.service_of(runtime.pid, self.settings.restart_command)
            if service:
                service.restart_now(self.settings.ready_timeout)
                cri.wait_ready(runtime, self.settings.ready_timeout)
        self.record.pending, self.record.pending_directories, self.record.restarting = {}, [], False
        self.record.save()

    def _note_proofs(self, *, pull: bool) -> bool:
        """Prove every registry that is not proven as it is now; tell whether there was anything to prove."""
        news = False
        for wish in self.wishes:
            folder = wish.folders[0]
            if not wish.present:
                continue
            if set(wish.folders) & set(self.plan.waiting):
                self.proofs[folder] = {"key": "", "how": "waits", "by": "", "image": "", "at": ""}
                continue
            owned = self.record.owned.get(folder, Owned())
            known = all(set(self.plan.files[name]) == set(self._owned(name).digests) for name in wish.folders)
            key = self._proof_key(wish)
            if owned.proof.get("key") == key and known:
                self.proofs[folder] = owned.proof
                self._warn_of_challenge(wish)
                continue
            news = True
            self.proofs[folder] = {"key": key, "how": "none", "by": "", "image": "", "at": ""}
            if pull:
                self.proofs[folder].update(self._prove(wish))
                self._warn_of_challenge(wish)
        return news

    def _warn_of_challenge(self, wish: Wish) -> None:
        """Warn of a mirror that asks for an account; whether it does is part of its proof."""
        proof = self.proofs[wish.folders[0]]
        if not wish.mirror_of or self.settings.verify == "none" or self.runtime.kind not in runtimes.CONTAINERD_KINDS:
            return
        # Imported here alone: nodes compile what they import at each run, and most have no mirrors.
        from ansible_collections.homeport.registry.plugins.module_utils import _node_challenge as challenge

        if "asks" not in proof:
            proof["asks"] = challenge.asks_for_account(wish, self.settings.timeout)
        if proof["asks"]:
            self.warnings.append(challenge.warning(wish))

    def _owned(self, folder: str) -> Owned:
        return self.record.owned.get(folder, Owned())

    def _prove(self, wish: Wish) -> dict[str, str]:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.settings.verify == "none":
            return {"at": now}
        # The upstream of a mirror is not ours to ask for an image that does not exist.
        image = wish.image or ("" if wish.mirror_of else f"{wish.name}/{cri.NOWHERE}")
        if self.settings.verify == "tls" or not image:
            return {"how": "looked", "by": "ssl", "at": now}
        proof = self._pull(wish, image)
        self.actions.append(f"prove {wish.folders[0]} by a pull: {proof.how}")
        return {**proof.as_dict(), "at": now}

    def _pull(self, wish: Wish, image: str) -> cri.Proof:
        deadline = time.monotonic() + HOSTS_CACHE
        while True:
            try:
                return cri.pull(self.runtime, image, wish.login, self.settings.pull_timeout, plain=wish.plain_http)
            except UnresolvedError:
                if not wish.address or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _proof_key(self, wish: Wish) -> str:
        presented = self.plan.presented.get(wish.folders[0])
        facts = {
            "files": {name: self.plan.files[name] for name in wish.folders},
            "runtime": self.runtime.dump(),
            "server": presented.sha256 if presented else "",
            "wish": [wish.image, wish.address, bool(wish.login), self.settings.verify],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _remember(self, made: list[str]) -> None:
        """Write the record of a run that went well."""
        record = self.record
        changed = {change.path: change for change in self.changes}
        for folder, files in self.plan.files.items():
            owned = record.owned.setdefault(folder, Owned())
            owned.of = next((wish.folders[0] for wish in self.wishes if folder in wish.folders), owned.of)
            for path in files:
                change = changed.get(path)
                held = change.before if change else read(path)
                owned.before.setdefault(path, self._first_before(path, held.dump() if held else None))
                owned.digests[path] = digest(files[path])
            for path in set(owned.digests) - set(files):
                del owned.digests[path], owned.before[path]
            owned.proof = self.proofs.get(folder, {})
            if not files and not any(wish.present and folder in wish.folders for wish in self.wishes):
                del record.owned[folder]
        record.directories = list(dict.fromkeys([*record.directories, *made]))
        record.tidy()
        self._remember_config()
        record.runtime = self.runtime.dump()
        record.pending, record.pending_directories, record.restarting = {}, [], False
        record.save()

    def _first_before(self, path: str, held: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        """Return what was there before any of our entries wrote this file."""
        for owned in self.record.owned.values():
            if path in owned.before:
                return owned.before[path]
        return held

    def _remember_entries(self) -> None:
        if self.runtime.kind != "docker":
            return
        for folder, entries in self.plan.entries.items():
            self.record.entries[folder] = entries
        for folder in [folder for folder, entries in self.record.entries.items() if not entries]:
            del self.record.entries[folder]
        path = daemon_json.path_of(self.runtime.pid)
        change = next((change for change in self.changes if change.path == path), None)
        if change and self.record.entries:
            self.record.config.before.setdefault(path, change.before.dump() if change.before else None)
        elif not self.record.entries:
            self.record.config = Owned()

    def _remember_listing(self) -> None:
        listing, record = self.plan.listing, self.record
        if listing is None or not listing.path:
            return
        for key, entries in listing.ours.items():
            record.listed[key] = [entry.dump() for entry in entries]
        record.listed = {key: entries for key, entries in record.listed.items() if entries}
        if not record.listed:
            record.config = Owned()
        elif listing.change:
            before = listing.change.before
            record.config.before.setdefault(listing.path, before.dump() if before else None)

    def _remember_config(self) -> None:
        self._remember_entries()
        self._remember_listing()
        restart = self.plan.restart
        if restart is None or restart.change is None:
            return
        path, after = restart.change.path, restart.change.after
        if restart.root and after:
            before = restart.change.before
            self.record.config.before.setdefault(path, before.dump() if before else None)
            self.record.config.digests[path] = after.sha256
        else:
            self.record.config = Owned()
