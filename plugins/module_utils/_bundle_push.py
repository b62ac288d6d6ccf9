# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pushing a bundle: contents, manifests, a tag that keeps them, proof, and then the tags that people use. Private."""

from __future__ import annotations

import dataclasses
import json
import threading
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_check import Opened
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import ContentError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_journal import Journal, Progress
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import ImagePlan, Plan, Transfer
from ansible_collections.homeport.registry.plugins.module_utils._bundle_survey import Place, survey
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    get_manifest,
    put_manifest,
    stream_blob,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError, UnreachableError
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import digest_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_resume import (
    Limits,
    Watch,
    mount_blob,
    send_blob,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import Throttle, in_parallel

# What says something about one content only; everything else is the whole registry's, and ends the push.
_OWN = frozenset((400, 404, 413, 416, 500))
# As many of them in a row are the registry's after all.
_MOST_FAILURES = 3


def _referrers() -> t.Any:
    """Return what few images need, and whose import costs all of them a start that is slower."""
    from ansible_collections.homeport.registry.plugins.module_utils import _bundle_referrers

    return _bundle_referrers


@dataclasses.dataclass
class Outcome:
    """What became of a push: `how` tells sent or mounted by place, `failed` why by place or image name."""

    how: dict[Place, str] = dataclasses.field(default_factory=dict)
    failed: dict[Place, RegistryError] = dataclasses.field(default_factory=dict)
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    served: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: dict[Place, str] = dataclasses.field(default_factory=dict)
    manifests: int = 0
    fatal: RegistryError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.how or self.tags or self.manifests)


class Pusher:
    """Carries a plan out."""

    def __init__(
        self,
        session: Session,
        opened: Opened,
        plan: Plan,
        *,
        journal: Journal,
        progress: Progress,
        throttle: Throttle,
        threads: int,
        limits: Limits,
    ) -> None:
        """Take everything that is needed; `threads` are connections to use at once."""
        self._session = session
        self._opened = opened
        self._bundle = opened.bundle
        self._plan = plan
        self._journal = journal
        self._progress = progress
        self._throttle = throttle
        self._threads = threads
        self._limits = limits
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._bodies: dict[str, bytes] = {}
        self._stored: set[Place] = set()
        self._refers: bool | None = None
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Push; what could not be done is in the outcome, of which nothing is hidden by an exception."""
        ready = [image for image in self._plan.images if image.ready]
        try:
            in_parallel(self._transfer, self._plan.transfers, self._threads)
            # A place that many wait for is mounted by all of them at once.
            mounts = [(one, name) for one in self._plan.transfers for name in one.mounts]
            in_parallel(self._mount, mounts, self._threads)
            self._progress.enter("manifests")
            in_parallel(self._store_manifests, ready, self._threads)
            self._progress.enter("verification")
            self._verify(ready)
            self._progress.enter("tags")
            in_parallel(self._publish, ready, self._threads)
        except RegistryError as exc:
            self.outcome.fatal = exc
        return self.outcome

    def foretell(self) -> Outcome:
        """Return what `run` would do, without doing it."""
        outcome, found = self.outcome, self._plan.found
        for one in self._plan.transfers:
            if not one.source:
                outcome.how[one.targets[0], one.digest] = "sent"
            outcome.how.update({(name, one.digest): "mounted" for name in one.mounts})
        for image in self._plan.images:
            if not image.ready:
                continue
            self._stored |= {(image.repository, digest) for digest in image.manifests} - found.manifests
            for tag, digest in image.tags.items():
                if not self._plan.has_tag(image, tag, digest):
                    outcome.tags[image.repository, tag] = digest
            for tag, body in self._lists(image).items():
                outcome.tags[image.repository, tag] = digest_of(body)
        outcome.manifests = len(self._stored)
        return outcome

    def body(self, repository: str, digest: str) -> bytes:
        """Return the bytes of a manifest, from a volume or from the registry.

        Raises:
            RegistryError: when neither has them.
        """
        with self._lock:
            known = self._bodies.get(digest)
        if known is not None:
            return known
        volume = self._opened.volume_of(digest)
        if volume:
            body = volume.read(fmt.blob_path(digest))
        else:
            found, names = self._plan.found, [image.repository for image in self._plan.images]
            names = [repository, *names, *sorted({name for name, _digest in found.manifests | found.blobs})]
            if name := found.home_of(digest, "manifests", names):
                body = get_manifest(self._session, name, digest).body
            else:
                name = found.home_of(digest, "blobs", names) or repository
                body = b"".join(stream_blob(self._session, name, digest))
        if digest_of(body, digest) != digest:
            raise ContentError(
                f"read the manifest {digest}",
                where=volume.path if volume else self._session.base,
                got=f"its content is {digest_of(body, digest)}",
                remedy="Verify the bundle, and copy it again.",
            )
        with self._lock:
            self._bodies[digest] = body
        return body

    def _guard(self, place: Place, work: t.Callable[[], None]) -> None:
        """Do something for one content; an error that is its own is kept, any other ends the push."""
        try:
            work()
        except ContentError as exc:
            self.outcome.failed[place] = exc
        except HttpError as exc:
            with self._lock:
                self.outcome.failed[place] = exc
                self._in_a_row += exc.status >= 500
                # A full disk shows with every content.
                if exc.status not in _OWN or self._in_a_row >= _MOST_FAILURES:
                    raise
        else:
            with self._lock:
                self._in_a_row = 0

    def _transfer(self, one: Transfer) -> None:
        if one.source:
            return
        volume, target = self._opened.volume_of(one.digest), one.targets[0]
        if volume is None:
            return
        path, place = fmt.blob_path(one.digest), (target, one.digest)
        watch = Watch(
            opened=lambda url: self._journal.note(target, one.digest, one.size, url),
            sent=lambda count, end: self._progress.sent(one.digest, end, count),
            failed=lambda _exc: self._throttle.slower(),
        )

        def send() -> None:
            send_blob(
                self._session,
                target,
                one.digest,
                Body(volume.opener(path), one.size),
                url=self._journal.begun(target, one.digest),
                limits=self._limits,
                watch=watch,
            )
            self._journal.note(target, one.digest, one.size, "")
            self.outcome.how[place] = "sent"
            self._throttle.faster()

        with self._throttle:
            self._guard(place, send)

    def _mount(self, item: tuple[Transfer, str]) -> None:
        one, target = item
        source = one.source or one.targets[0]
        place = (target, one.digest)
        if (source, one.digest) in self.outcome.failed:
            self.outcome.failed[place] = self.outcome.failed[source, one.digest]
            return

        def mount() -> None:
            url = mount_blob(self._session, target, one.digest, source)
            if url:
                self._send_instead(one, target, url)
            self.outcome.how[place] = "sent" if url else "mounted"

        with self._throttle:
            self._guard(place, mount)

    def _send_instead(self, one: Transfer, target: str, url: str) -> None:
        """Send what the registry did not mount: from a volume, or else from the repository that has it."""
        volume = self._opened.volume_of(one.digest)
        watch = Watch(sent=lambda count, _end: self._progress.sent(one.digest, 0, count))
        if volume:
            body = Body(volume.opener(fmt.blob_path(one.digest)), one.size)
            send_blob(self._session, target, one.digest, body, url=url, limits=self._limits, watch=watch)
        else:
            from ansible_collections.homeport.registry.plugins.module_utils._bundle_copy import copy_blob

            there = [name for name, digest in self._plan.found.blobs if digest == one.digest]
            names = dict.fromkeys([one.source, *sorted(there)])
            copy_blob(self._session, target, one.digest, one.size, names, url=url, limits=self._limits, watch=watch)

    def _store_manifests(self, image: ImagePlan) -> None:
        """Store the manifests of an image, what is needed first, and the tag that keeps it."""
        if self._has_failed(image):
            return
        name, top = image.repository, image.image.digest

        def store() -> None:
            tagged = self._plan.has_tag(image, image.keep, top)
            for digest in image.manifests:
                if digest == top and not tagged:
                    # It comes in with its tag.
                    self._put(image, image.keep, top)
                elif (name, digest) not in self._plan.found.manifests:
                    self._put(image, digest, digest)

        self._guard_image(image, store)

    def _put(self, image: ImagePlan, reference: str, digest: str) -> None:
        body = self.body(image.repository, digest)
        try:
            put_manifest(self._session, image.repository, reference, body, self._bundle.manifests[digest].media_type)
        except UnreachableError as exc:
            if _referrers().has_platforms(body):
                raise
            raise self._explain_silence(exc) from exc
        except HttpError as exc:
            raise self._explain(exc, digest, body) from exc
        with self._lock:
            if (image.repository, digest) not in self._plan.found.manifests:
                self._stored.add((image.repository, digest))
                self.outcome.manifests = len(self._stored)
            if reference != digest:
                self.outcome.tags[image.repository, reference] = digest

    def _explain(self, exc: HttpError, digest: str, body: bytes) -> HttpError:
        """Say more where an index is refused that lacks platforms on purpose."""
        kept = set(self._bundle.manifests[digest].children)
        named = {str(one.get("digest")) for one in json.loads(body).get("manifests") or []}
        if exc.status == 400 and named - kept:
            exc.remedy = (
                "This index holds some platforms only. Let Distribution 3 accept that by"
                " validation.manifests.indexes.platforms: list with platformlist; version 2.8 cannot."
            )
            exc.args = (f"Could not {exc.tried} ({exc.where}): {exc.got}. {exc.remedy}",)
        return exc

    @staticmethod
    def _explain_silence(exc: UnreachableError) -> RegistryError:
        """Say more where a registry hangs up over an index."""
        return ContentError(
            exc.tried,
            where=exc.where,
            got=exc.got,
            remedy="This index does not say what its entries run on. Distribution 3.1 breaks on that where"
            " validation.manifests.indexes.platforms is list; with none or all it takes the index.",
        )

    def _verify(self, images: list[ImagePlan]) -> None:
        """Read what was written, as any client would, before anybody is pointed to it."""
        wrote = [image for image in images if not self._plan.is_done(image) and not self._has_failed(image)]
        blobs = {
            (image.repository, digest, self._bundle.blobs[digest].size)
            for image in wrote
            for digest in image.blobs
            if (image.repository, digest) in self.outcome.how
        }
        found = survey(
            self._session,
            blobs=blobs,
            manifests=[(image.repository, digest) for image in wrote for digest in image.manifests],
            tags=(),
            kept=[(image.repository, image.keep, image.image.digest) for image in wrote],
            threads=self._threads,
        )
        unread = self.outcome.how.keys() - found.blobs
        for image in wrote:
            name = image.repository
            lost = [f"the blob {digest}" for digest in image.blobs if (name, digest) in unread]
            lost += [f"the manifest {digest}" for digest in image.manifests if (name, digest) not in found.manifests]
            if found.tags.get((name, image.keep)) != image.image.digest:
                lost.append(f"the tag {image.keep}")
            if lost:
                self.outcome.problems[image.image.name] = (
                    f"after the push {name} does not serve {', '.join(lost[:5])}"
                    f"{f' and {len(lost) - 5} more' if len(lost) > 5 else ''}; a damaged copy that the registry keeps,"
                    " or a garbage collection without a restart of all replicas, shows like this"
                )

    def _publish(self, image: ImagePlan) -> None:
        """Set the tags that people use, what belongs to the image first, and look at what is served."""
        if self._has_failed(image):
            return
        name = image.repository

        def publish() -> None:
            for tag, body in self._lists(image).items():
                digest = _referrers().put_list(self._session, name, tag, body)
                with self._lock:
                    self.outcome.tags[name, tag] = digest
            for tag, digest in sorted(image.tags.items(), key=lambda item: item[0] == image.tag):
                if tag != image.keep and not self._plan.has_tag(image, tag, digest):
                    self._put(image, tag, digest)
            shown = image.tag or image.keep
            served = image.image.digest
            if not self._plan.is_done(image):
                served = get_manifest(self._session, name, shown).digest
            self.outcome.served[image.image.name] = served
            if served != image.image.digest:
                self.outcome.problems[image.image.name] = f"{name}:{shown} serves {served}"
            self._progress.image_done()

        self._guard_image(image, publish)

    def _lists(self, image: ImagePlan) -> dict[str, bytes]:
        """Return the lists of referrers to be stored, by tag, where the registry does not make them by itself."""
        name = image.repository
        if not image.image.referrers and not image.lists:
            return {}
        referrers = _referrers()
        if self._refers is None:
            self._refers = referrers.knows_referrers(self._session, image.repository, image.image.digest)
        if self._refers:
            return {}

        def read(digest: str) -> bytes:
            return self.body(name, digest)

        found: dict[str, bytes] = {}
        for tag, wanted in referrers.wanted_lists(self._bundle, image).items():
            current = referrers.current_list(self._session, name, tag)
            if not referrers.is_complete(current, wanted):
                own = image.lists.get(tag, "")
                # A list in a volume that is not at hand is made anew out of what is in it.
                known = own and (self._opened.volume_of(own) or (name, own) in self._plan.found.blobs)
                found[tag] = referrers.make_list(self._bundle, current, wanted, read(own) if known else b"", read)
        return found

    def _guard_image(self, image: ImagePlan, work: t.Callable[[], None]) -> None:
        place = (image.repository, image.image.digest)
        try:
            self._guard(place, work)
        finally:
            error = self.outcome.failed.get(place)
            if error:
                self.outcome.problems[image.image.name] = str(error)

    def _has_failed(self, image: ImagePlan) -> bool:
        """Tell whether an image cannot be whole, and keep the reason."""
        for digest in image.blobs:
            error = self.outcome.failed.get((image.repository, digest))
            if error and image.image.name not in self.outcome.problems:
                self.outcome.problems[image.image.name] = str(error)
        return image.image.name in self.outcome.problems
