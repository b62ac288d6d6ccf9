# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a collection is told: one JSON document, made by the role and mounted into the pod. Private."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError

Depth = t.Literal["tags", "blobs", "full"]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


class OptionsError(GcError):
    """The options document is not one that this engine understands."""


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """What a collection may free at most.

    share: of all blobs, in percent. bytes: None for no limit. protected: patterns of repositories, as in a shell,
    of which nothing may go.
    """

    share: float = 30.0
    bytes: int | None = None
    protected: tuple[str, ...] = ()

    def protects(self, repository: str) -> bool:
        """Tell whether nothing of this repository may be freed."""
        return any(fnmatch.fnmatchcase(repository, pattern) for pattern in self.protected)


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything that the role decides. Seconds are whole seconds."""

    registry: str
    namespace: str
    storage: dict[str, t.Any]
    permit: dict[str, t.Any]
    writer_selector: str
    ceiling: Ceiling = Ceiling()
    dry_run: bool = False
    untagged: t.Literal["keep", "delete"] = "keep"
    depth: Depth = "blobs"
    history: int = 10
    deadline: int = 3600
    fence_timeout: int = 180
    lease_seconds: int = 120
    threads: int = 8
    binary: str = "/engine-bin/registry"
    scratch: str = "/tmp"
    api: str = ""
    account: str = TOKEN

    @property
    def writer(self) -> str:
        """Return the name of the writers' Deployment."""
        return f"{self.registry}-writer"

    @property
    def lease(self) -> str:
        """Return the name of the Lease of exclusive work."""
        return f"{self.registry}-exclusive"

    @property
    def permit_name(self) -> str:
        """Return the name of the ConfigMap without which no writer starts."""
        return f"{self.registry}-write-permit"

    @property
    def report(self) -> str:
        """Return the name of the ConfigMap that holds the report."""
        return f"{self.registry}-gc-report"

    @property
    def cron_job(self) -> str:
        """Return the name of the CronJob."""
        return f"{self.registry}-gc"

    @property
    def root(self) -> str | None:
        """Return the directory of the store, none where it is not a file system."""
        filesystem = self.storage.get("filesystem")
        return str(filesystem["rootdirectory"]) if filesystem else None


_CHOICES = {"untagged": ("keep", "delete"), "depth": ("tags", "blobs", "full")}
_POSITIVE = ("history", "deadline", "fence_timeout", "lease_seconds", "threads")


def parse(text: str) -> Options:
    """Return the options in a JSON text. Raises OptionsError, which names what is wrong."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _wrong(f"it is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise _wrong("it is not an object")
    fields = {field.name: field for field in dataclasses.fields(Options)}
    unknown = sorted(set(document) - set(fields))
    if unknown:
        raise _wrong(f"it names {', '.join(unknown)}, which this engine does not know")
    missing = sorted(
        name for name in ("registry", "namespace", "storage", "permit", "writer_selector") if name not in document
    )
    if missing:
        raise _wrong(f"{', '.join(missing)} is missing")
    for name, choices in _CHOICES.items():
        if document.get(name, choices[0]) not in choices:
            raise _wrong(f"{name} is {document[name]!r}, not one of {', '.join(choices)}")
    for name in _POSITIVE:
        value = document.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _wrong(f"{name} is {value!r}, not a number above 0")
    if len(document["storage"]) != 1:
        raise _wrong(f"storage names {len(document['storage'])} drivers instead of one")
    return Options(**{**document, "ceiling": _ceiling(document.get("ceiling") or {})})


def _ceiling(given: t.Mapping[str, t.Any]) -> Ceiling:
    share, limit = given.get("share", 30.0), given.get("bytes")
    if not isinstance(share, (int, float)) or not 0 <= share <= 100:
        raise _wrong(f"ceiling.share is {share!r}, not a percentage")
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise _wrong(f"ceiling.bytes is {limit!r}, not a number of bytes")
    return Ceiling(float(share), limit, tuple(map(str, given.get("protected") or ())))


def _wrong(got: str) -> OptionsError:
    return OptionsError(
        "read the options of the collection",
        where="options.json",
        got=got,
        remedy="Run homeport.registry.site again: it writes options and engine together.",
    )
