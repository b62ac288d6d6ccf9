# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Images in the store of a node's containerd, put there without a registry and kept from garbage collection. Private.

What we hold is written on the images themselves, as a label, so that it goes where they go: a node that was replaced
has neither. An import gives no labels, so what is about to appear is written on the namespace before, and whoever was
killed in between knows its own again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_cri import NAMESPACE, ctr_of
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import CONTAINERD_KINDS, Runtime

# What the kubelet's garbage collection looks at, through CRI.
PINNED = "io.cri-containerd.pinned"
# Ours: how an image came to be held, "imported" by us or "found" there.
HELD = "registry.homeport.dev/held"
IMPORTED, FOUND = "imported", "found"
# On the namespace, for each reference that is about to appear.
PROMISE = "registry.homeport.dev/importing-"

_NAME = re.compile(r"^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


class Wanted(t.NamedTuple):
    """An image: its full reference, and the digest of its manifest or index."""

    name: str
    digest: str

    @property
    def by_digest(self) -> str:
        """Return the reference by which a Pod that names the digest finds it."""
        head, _slash, last = self.name.rpartition("/")
        return f"{head}/{last.partition(':')[0]}@{self.digest}"

    @property
    def references(self) -> tuple[str, str]:
        """Return both names that it needs."""
        return self.name, self.by_digest


@dataclasses.dataclass(frozen=True)
class Stored:
    """An image of the store."""

    digest: str
    labels: t.Mapping[str, str]


def promise_of(reference: str, digest: str) -> str:
    """Return the label that says that an image is about to appear. Of a fixed length, since containerd limits it."""
    return PROMISE + hashlib.sha256(f"{reference} {digest}".encode()).hexdigest()[:24]


def wanted_from(items: t.Sequence[t.Mapping[str, str]]) -> list[Wanted]:
    """Return the images of a module's parameters.

    Raises:
        NodeError: when a name is not in full, or a digest is none.
    """
    for item in items:
        if not _NAME.match(item["name"]) or not _is_host(item["name"].partition("/")[0]):
            raise _wrong(item["name"], "it does not begin with a host, or is no image name")
        if not _DIGEST.match(item["digest"]):
            raise _wrong(item["name"], f"{item['digest']!r} is no digest")
    return [Wanted(item["name"], item["digest"]) for item in items]


def _is_host(part: str) -> bool:
    return "." in part or ":" in part or part == "localhost"


def _wrong(name: str, got: str) -> NodeError:
    return NodeError(
        "read the images",
        where=name,
        got=got,
        remedy="Write names in full, such as docker.io/library/registry:3, and digests as sha256: and 64 digits.",
    )


class Store:
    """The images that the kubelet of a node sees. Only containerd, which all of k3s, RKE2 and MicroK8s bring too."""

    def __init__(self, runtime: Runtime, timeout: float) -> None:
        """Find the program.

        Args:
            runtime: as found on the node.
            timeout: seconds for an import.

        Raises:
            NodeError: when the runtime is another one, or ctr is missing.
        """
        self._timeout = timeout
        self._ctr = ctr_of(runtime)
        if not self._ctr:
            got, remedy = "ctr is not installed", "Install ctr, which belongs to containerd."
            if runtime.kind not in CONTAINERD_KINDS:
                got = "that is not containerd"
                remedy = (
                    "Load them there by its own means, for CRI-O by skopeo copy oci-archive:FILE:NAME"
                    " containers-storage:NAME, and list them in its pinned_images."
                )
            raise NodeError("import images on this node", where=runtime.label, got=got, remedy=remedy)

    def images(self) -> dict[str, Stored]:
        """Return the images by reference."""
        found = {}
        for line in self._run("images", "ls").output.splitlines()[1:]:
            fields = line.split()
            if len(fields) >= 4:
                labels = dict(pair.partition("=")[::2] for pair in fields[-1].split(",") if "=" in pair)
                found[fields[0]] = Stored(fields[2], labels)
        return found

    def promises(self) -> set[str]:
        """Return what an earlier run was about to import, see `promise_of`; nothing unless it was killed."""
        rows = [line.split() for line in self._run("namespaces", "ls").output.splitlines()]
        labels = [row[-1] for row in rows if len(row) > 1 and row[0] == NAMESPACE]
        return {pair.partition("=")[0] for one in labels for pair in one.split(",") if pair.startswith(PROMISE)}

    def promise(self, promises: t.Collection[str], *, kept: bool) -> None:
        """Write down what is about to appear, or strike it out once it is labelled."""
        if promises:
            pairs = (f"{one}={'' if kept else 'yes'}" for one in sorted(promises))
            self._run("namespaces", "label", NAMESPACE, *pairs)

    def incomplete(self, references: t.Sequence[str]) -> set[str]:
        """Return those of the references that lack content for this node's platform."""
        return {one for one in references if not self._is_whole(one)}

    def _is_whole(self, reference: str) -> bool:
        # Of several, the first that lacks its manifest would keep the others from being looked at.
        done = process.run([*self._ctr, "images", "check", f"name=={json.dumps(reference)}"], timeout=self._timeout)
        return not done.code and bool(re.search(r"\scomplete\s", done.output))

    def running(self) -> set[str]:
        """Return what containers that run now are made of, as containerd calls it."""
        tasks = {line.split()[0] for line in self._run("tasks", "ls").output.splitlines()[1:] if line.strip()}
        rows = [line.split() for line in self._run("containers", "ls").output.splitlines()[1:]]
        return {row[1] for row in rows if len(row) > 2 and row[0] in tasks}

    def load(self, archive: str) -> None:
        """Import an archive as it is; whoever starts a container unpacks it."""
        self._run("images", "import", "--no-unpack", archive)

    def tag(self, source: str, target: str) -> None:
        """Give an image one more name."""
        self._run("images", "tag", "--force", source, target)

    def label(self, reference: str, labels: t.Mapping[str, str]) -> None:
        """Set labels; an empty value clears one."""
        self._run("images", "label", reference, *(f"{key}={value}" for key, value in labels.items()))

    def remove(self, references: t.Sequence[str]) -> None:
        """Remove names, and what nobody needs any more."""
        self._run("images", "rm", "--sync", *references)

    def _run(self, *words: str) -> process.Done:
        done = process.run([*self._ctr, *words], timeout=self._timeout)
        if done.code:
            raise NodeError(
                f"{words[1]} {words[0]} in containerd",
                where=f"this node, by ctr {' '.join(words)}"[:300],
                got=f"exit code {done.code}: {done.said}",
                remedy="Run as root (become), and look at containerd's log and at the room on its disk.",
            )
        return done


@dataclasses.dataclass
class Holding:
    """One run: what is there, what is missing, what is done."""

    store: Store
    wanted: list[Wanted]
    pin: bool
    check: bool
    actions: list[str] = dataclasses.field(default_factory=list)
    before: dict[str, Stored] = dataclasses.field(default_factory=dict)
    missing: list[Wanted] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    released: list[str] = dataclasses.field(default_factory=list)

    def hold(self, archive: str) -> None:
        """Bring every image there and keep it there.

        Args:
            archive: file on the node that holds the missing ones; may be missing where none is, and in check mode.

        Raises:
            NodeError: when the archive is needed and not there, or does not hold an image with its digest.
        """
        self._take_up()
        promises = [
            promise_of(reference, one.digest)
            for one in self.wanted
            for reference in one.references
            if not self._has(self.before, reference, one.digest)
        ]
        if not self.check:
            self.store.promise(promises, kept=False)
        names = [one.name for one in self.wanted if self._has(self.before, one.name, one.digest)]
        broken = self.store.incomplete(names)
        self.missing = [one for one in self.wanted if one.name not in names or one.name in broken]
        self.actions += [f"import {one.name}" for one in self.missing]
        if self.missing and not self.check:
            self._import(archive)
        after = self.before if self.check else self.store.images()
        for one in self.wanted:
            if one not in self.missing and not self._has(self.before, one.by_digest, one.digest):
                self.actions.append(f"name {one.by_digest}")
            if not self.check and not self._has(after, one.by_digest, one.digest):
                self.store.tag(one.name, one.by_digest)
                after[one.by_digest] = Stored(one.digest, {})
            self._label(one, after)
        if not self.check:
            self.store.promise(promises, kept=True)

    def _take_up(self) -> None:
        """Read what is there, and mark as ours what appeared in a run that was killed."""
        self.before = self.store.images()
        promises = self.store.promises()
        for reference, image in self.before.items():
            if HELD not in image.labels and promise_of(reference, image.digest) in promises:
                self.before[reference] = Stored(image.digest, {**image.labels, HELD: IMPORTED})
                self.actions.append(f"take up {reference}")
                if not self.check:
                    self.store.label(reference, {HELD: IMPORTED})
        if promises and not self.actions:
            self.actions.append("forget an import that was interrupted")
        if not self.check:
            self.store.promise(promises, kept=True)

    def _import(self, archive: str) -> None:
        if not os.path.isfile(archive):
            raise NodeError(
                "import images on this node",
                where=archive or "no archive was given",
                got=f"there is no such file, and {', '.join(one.name for one in self.missing)} is missing",
                remedy="Write an archive of them from the bundle, and copy it to the node.",
            )
        self.store.load(archive)
        after = self.store.images()
        wrong = [one.name for one in self.missing if not self._has(after, one.name, one.digest)]
        wrong += sorted(self.store.incomplete([one.name for one in self.missing if one.name not in wrong]))
        if wrong:
            raise NodeError(
                "import images on this node",
                where=archive,
                got=f"afterwards {', '.join(wrong)} is not there with its digest and for this platform",
                remedy="Write the archive from the bundle that has the digests, with the platform of this node.",
            )

    def _label(self, one: Wanted, after: t.Mapping[str, Stored]) -> None:
        for reference in one.references:
            labels = after[reference].labels if reference in after else {}
            old = self.before[reference].labels if reference in self.before else {}
            # Whoever was there before us stays when we go.
            held = old.get(HELD) or (FOUND if reference in self.before and one not in self.missing else IMPORTED)
            ours = {HELD: held, **({PINNED: "pinned"} if self.pin else {})}
            if not self.pin and PINNED in labels and HELD in labels:
                ours[PINNED] = ""
            if all(labels.get(key, "") == value for key, value in ours.items()):
                continue
            if one not in self.missing and reference in self.before:
                self.actions.append(f"{'pin' if self.pin else 'unpin'} {reference}")
            if not self.check:
                self.store.label(reference, ours)

    def purge(self, needed: t.Collection[str]) -> None:
        """Let go of what we hold and do not want, except of what runs on this node and of what is needed elsewhere.

        Args:
            needed: references as Pods have them; of one with a digest only that counts.
        """
        images = self.before if self.check else self.store.images()
        wanted = {reference for one in self.wanted for reference in one.references}
        spare = {name: image for name, image in images.items() if HELD in image.labels and name not in wanted}
        if not spare:
            return
        asked = {*needed, *self.store.running()}
        digests = {reference.partition("@")[2] for reference in asked} | {
            images[reference].digest for reference in asked if reference in images
        }
        self.kept = sorted(name for name, image in spare.items() if image.digest in digests)
        self._let_go({name: image for name, image in spare.items() if name not in self.kept}, images)

    def release(self) -> None:
        """Let go of the images that we hold, or of those among them that are wanted where any are."""
        self._take_up()
        names = {reference for one in self.wanted for reference in one.references}
        held = {
            reference: image
            for reference, image in self.before.items()
            if HELD in image.labels and (not names or reference in names)
        }
        self._let_go(held, self.before)

    def _let_go(self, held: t.Mapping[str, Stored], images: t.Mapping[str, Stored]) -> None:
        gone = [reference for reference, image in held.items() if image.labels[HELD] == IMPORTED]
        for reference in sorted(set(held) - set(gone)):
            self.actions.append(f"unpin {reference}")
            if not self.check:
                self.store.label(reference, {PINNED: "", HELD: ""})
        self.actions += [f"remove {reference}" for reference in sorted(gone)]
        self.released = sorted(held)
        if gone and not self.check:
            self.store.remove(gone + self._nameless(gone, images))

    def _nameless(self, gone: t.Sequence[str], images: t.Mapping[str, Stored]) -> list[str]:
        """Return what CRI calls images by their configuration, of images that have no other name left."""
        left = {
            image.digest
            for reference, image in images.items()
            if reference not in gone and not reference.startswith("sha256:")
        }
        digests = {images[reference].digest for reference in gone} - left
        return [
            reference
            for reference, image in images.items()
            if reference.startswith("sha256:") and image.digest in digests
        ]

    def _has(self, images: t.Mapping[str, Stored], reference: str, digest: str) -> bool:
        return reference in images and images[reference].digest == digest
