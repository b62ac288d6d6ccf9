# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What we own on a node, what was there before, and what has been proven. Private."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import (
    Content,
    make_directories,
    put,
    read,
    remove_directories,
    write,
)

FORMAT = 1
PATH = "/var/lib/homeport/node_trust.json"


@dataclasses.dataclass
class Owned:
    """The files of one registry or mirror.

    `of` is the registry that it is an alias of, or itself. `before` holds what each path held when we first wrote it,
    None for nothing; `digests` what we wrote.
    """

    of: str = ""
    before: dict[str, dict[str, t.Any] | None] = dataclasses.field(default_factory=dict)
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    proof: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Record:
    """The record of a node.

    `directories` are those that we made, `entries` what we added to Docker's daemon.json by directory name and key,
    `listed` what we added to registries.yaml by directory name.
    """

    path: str
    owned: dict[str, Owned] = dataclasses.field(default_factory=dict)
    directories: list[str] = dataclasses.field(default_factory=list)
    config: Owned = dataclasses.field(default_factory=Owned)
    entries: dict[str, dict[str, list[str]]] = dataclasses.field(default_factory=dict)
    listed: dict[str, list[dict[str, t.Any]]] = dataclasses.field(default_factory=dict)
    runtime: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    pending: dict[str, dict[str, t.Any] | None] = dataclasses.field(default_factory=dict)
    pending_directories: list[str] = dataclasses.field(default_factory=list)
    restarting: bool = False

    def tidy(self) -> None:
        """Remove the directories that we made and that hold nothing of ours any more."""
        files = [path for owned in self.owned.values() for path in owned.digests]
        unused = [one for one in self.directories if not any(path.startswith(f"{one}/") for path in files)]
        remove_directories(unused)
        self.directories = [one for one in self.directories if one not in unused]

    def save(self) -> None:
        """Write it, for root alone: it may hold what users had in their files. An empty one is removed."""
        if not self.owned and not self.pending and not self.config.before:
            put(self.path, None)
            remove_directories([os.path.dirname(self.path)])
            return
        make_directories(os.path.dirname(self.path))
        body = {"format": FORMAT, **dataclasses.asdict(self)}
        body.pop("path")
        text = json.dumps(body, indent=1, sort_keys=True) + "\n"
        write(self.path, Content(text.encode(), 0o600, os.geteuid(), os.getegid()))


def hold(path: str, seconds: float) -> int:
    """Keep other runs away from this node until this process ends; return what does that.

    What one run has half done looks like an interrupted one to another, which would put it back.

    Args:
        path: of the record; nothing is written for this, not even in check mode.
        seconds: how long to wait for another run.

    Raises:
        NodeError: when that is still at work then.
    """
    # The record's own directory comes and goes.
    folder = os.path.dirname(os.path.dirname(os.path.abspath(path)))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    handle = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                # Some file systems of networks know no locks.
                return handle
        else:
            return handle
        if time.monotonic() > deadline:
            os.close(handle)
            raise NodeError(
                "begin on this node",
                where=folder,
                got=f"another run is at work here, and was not done after {seconds:g} seconds",
                remedy="Wait for it and run again. If none should be running, lslocks names the process that has locked"
                f" {folder}: end that.",
            )
        time.sleep(0.1)


def open_record(path: str) -> Record:
    """Read the record of a node; a new one where there is none.

    Raises:
        NodeError: when it cannot be read.
    """
    content = read(path)
    if content is None:
        return Record(path)
    try:
        body = json.loads(content.data)
        if body.pop("format") != FORMAT:
            raise ValueError("it has another format")
        owned = {name: Owned(**one) for name, one in body.pop("owned").items()}
        return Record(path, owned=owned, config=Owned(**body.pop("config")), **body)
    except (ValueError, KeyError, TypeError) as exc:
        raise NodeError(
            "read the record of what was changed on this node",
            where=path,
            got=str(exc),
            remedy="Another version of homeport.registry may have written it: use that one, or move the file away,"
            " after which removal leaves our files in place.",
        ) from exc
