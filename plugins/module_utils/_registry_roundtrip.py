# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Proving that images go in and come out: push, pull, compare, remove. Private."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import time
import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    HttpError,
    NotFoundError,
    ProtocolError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_MANIFEST, digest_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_upload import bytes_body, push_blob

LAYER_BYTES = 4096
# Answers of a proxy that does not know what became of the request.
_LOST = frozenset((502, 504))
_Delete = Callable[[Session, str, str], None]
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclasses.dataclass
class Step:
    """One thing that was done: by whom, with which answers, and to which content."""

    step: str
    user: str
    digest: str = ""
    size: int = 0
    ok: bool = False
    statuses: list[int] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


@dataclasses.dataclass
class RoundTrip:
    """The whole journey of one small image."""

    repository: str
    tag: str
    digest: str = ""
    steps: list[Step] = dataclasses.field(default_factory=list)
    problems: list[RegistryError] = dataclasses.field(default_factory=list)
    removed: bool = True

    def as_dict(self) -> dict[str, t.Any]:
        """Return the evidence without the problems."""
        return {
            "repository": self.repository,
            "tag": self.tag,
            "digest": self.digest,
            "removed": self.removed,
            "seconds": round(sum(step.seconds for step in self.steps), 3),
            "steps": [dataclasses.asdict(step) | {"seconds": round(step.seconds, 3)} for step in self.steps],
        }


class _Stopped(Exception):
    """A step did not work, so that the next ones make no sense."""


class Traveller:
    """Sends one image of random content, which no other image shares, through a registry."""

    def __init__(self, writer: Session, reader: Session, repository: str, trace: list[Exchange]) -> None:
        """Keep who does what.

        Args:
            writer: pushes and removes.
            reader: pulls.
            repository: where to; it should be used for nothing else.
            trace: a list to which the transport's observer adds every exchange.
        """
        self._writer = writer
        self._reader = reader
        self._trace = trace
        self.result = RoundTrip(repository, f"health-{secrets.token_hex(8)}")
        self._removals: list[tuple[str, str, _Delete]] = []
        config = json.dumps({"homeport": secrets.token_hex(16)}).encode()
        self._blobs = [(_CONFIG_TYPE, config), (_LAYER_TYPE, secrets.token_bytes(LAYER_BYTES))]
        described = [
            {"mediaType": kind, "digest": digest_of(content), "size": len(content)} for kind, content in self._blobs
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": described[1:]}
        self._manifest = json.dumps(document).encode()
        self.result.digest = digest_of(self._manifest)

    def go(self) -> RoundTrip:
        """Do everything and return the evidence; whatever got in is taken out again."""
        with contextlib.suppress(_Stopped):
            self._push()
            self._pull()
        if self._removals:
            self._remove()
        return self.result

    def _push(self) -> None:
        repository, digest = self.result.repository, self.result.digest
        for name, (_kind, content) in zip(("config", "layer"), self._blobs, strict=True):
            with self._stored(name, digest_of(content), len(content), client.delete_blob):
                push_blob(self._writer, repository, digest_of(content), bytes_body(content))
        with self._stored("manifest", digest, len(self._manifest), client.delete_manifest):
            client.put_manifest(self._writer, repository, self.result.tag, self._manifest, OCI_MANIFEST)

    @contextlib.contextmanager
    def _stored(self, name: str, digest: str, size: int, delete: _Delete) -> Iterator[None]:
        """A step after which there is something to remove, also if its last answer was lost."""
        with self._step(f"push {name}", self._writer, digest, size):
            try:
                yield
            except HttpError as exc:
                if exc.status in _LOST:
                    self._removals.append((name, digest, delete))
                raise
            except RegistryError:
                self._removals.append((name, digest, delete))
                raise
            self._removals.append((name, digest, delete))

    def _pull(self) -> None:
        repository, digest = self.result.repository, self.result.digest
        for name, reference in (("tag", self.result.tag), ("digest", digest)):
            with self._step(f"pull manifest by {name}", self._reader, digest, len(self._manifest)):
                manifest = client.get_manifest(self._reader, repository, reference)
                _compare(f"pull {repository} by {name}", manifest.body == self._manifest)
        for name, (_kind, content) in zip(("config", "layer"), self._blobs, strict=True):
            with self._step(f"pull {name}", self._reader, digest_of(content), len(content)):
                pulled = b"".join(client.stream_blob(self._reader, repository, digest_of(content)))
                _compare(f"pull the {name} of {repository}", pulled == content)

    def _remove(self) -> None:
        """Take out what got in, newest first: the blobs after the manifest that names them."""
        repository = self.result.repository
        first = len(self.result.steps)
        for name, digest, delete in reversed(self._removals):
            # Each removal is tried, whatever became of the others; what never arrived is as good as removed.
            with (
                contextlib.suppress(_Stopped),
                self._step(f"remove {name}", self._writer, digest),
                contextlib.suppress(NotFoundError),
            ):
                delete(self._writer, repository, digest)
        with contextlib.suppress(_Stopped), self._step("find nothing left", self._reader, self.result.digest):
            try:
                client.head_manifest(self._reader, repository, self.result.digest)
            except NotFoundError:
                pass
            else:
                raise ProtocolError(
                    "remove the image of the round trip",
                    where=f"{repository}@{self.result.digest}",
                    got="it is still served",
                    remedy="Let the registry delete, and its replicas use no blob descriptor cache.",
                )
        self.result.removed = all(step.ok for step in self.result.steps[first:])

    @contextlib.contextmanager
    def _step(self, name: str, session: Session, digest: str, size: int = 0) -> Iterator[None]:
        step = Step(name, session.auth.username or "", digest, size)
        self.result.steps.append(step)
        began, seen = time.monotonic(), len(self._trace)
        try:
            yield
            step.ok = True
        except RegistryError as exc:
            self.result.problems.append(exc)
            raise _Stopped from exc
        finally:
            step.seconds = time.monotonic() - began
            step.statuses = [exchange.status for exchange in self._trace[seen:]]


def _compare(tried: str, same: bool) -> None:
    if not same:
        raise ProtocolError(
            tried,
            where="the content",
            got="it is not what was pushed",
            remedy="Check that the address leads to one registry, and that no cache stands in between.",
        )
