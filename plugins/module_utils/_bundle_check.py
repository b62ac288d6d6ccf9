# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Proof that the volumes at hand are what was signed: signature, membership and every byte. Private.

The signature comes first: nothing else of a volume is believed before it. Memory stays flat, whatever a layer weighs.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import threading
import typing as t
from collections.abc import Callable, Collection, Iterator, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import (
    PIECE,
    ArchiveError,
    Volume,
    close_volumes,
    find_volumes,
    open_volumes,
)
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError, SignatureError
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Manifest
from ansible_collections.homeport.registry.plugins.module_utils._registry_entries import Pool
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Hasher, is_foreign
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import share

_METADATA = frozenset((fmt.DOCUMENT, fmt.SIGNATURE, fmt.LAYOUT, fmt.INDEX))
_COPY = "Copy this volume again from its source and compare; if the source shows the same, build it again."
_BUILD = "Build the bundle again, and keep its volumes as they were built."
# What a registry accepts as a manifest, and some more.
_MOST_MANIFEST = 8 << 20


class Finding(t.NamedTuple):
    """Something that is wrong: `kind` is a stable word, `volume` its number or 0, `content` a digest or member."""

    kind: str
    volume: int
    file: str
    content: str
    text: str
    remedy: str


class Refused(BundleError):
    """What was given cannot be used; `findings` says why, at least once."""

    def __init__(self, tried: str, findings: Sequence[Finding]) -> None:
        """Speak of the first and count the others."""
        first, more = findings[0], len(findings) - 1
        got = f"{first.text}{f' ({more} more problems)' if more else ''}"
        super().__init__(tried, where=first.file or "the bundle", got=got, remedy=first.remedy)
        self.findings = list(findings)


@dataclasses.dataclass
class Opened:
    """The volumes at hand by number, of one bundle whose document is signed (`signer` is empty if it is not).

    `findings` are about files that are no volume of it, or hold what they should not.
    """

    bundle: fmt.Bundle
    document: bytes
    signer: str
    volumes: dict[int, Volume]
    findings: list[Finding]

    @property
    def sha256(self) -> str:
        """The sum of bundle.json, which names the bundle for all time."""
        return hashlib.sha256(self.document).hexdigest()

    @property
    def missing(self) -> list[int]:
        """The numbers of the volumes that are not at hand."""
        return [number for number in range(1, self.bundle.volumes + 1) if number not in self.volumes]

    def volume_of(self, digest: str) -> Volume | None:
        """Return the volume at hand that holds a content, if any."""
        volume = self.volumes.get(self.bundle.blobs[digest].volume)
        return volume if volume and fmt.blob_path(digest) in volume.members else None

    def close(self) -> None:
        """Close the volumes."""
        close_volumes(list(self.volumes.values()))

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def open_bundle(paths: Sequence[str], trusted: Sequence[str], *, allow_unsigned: bool = False) -> Opened:
    """Open the volumes of one bundle and compare names and sizes of their members with the signed document.

    Args:
        paths: files, or folders that hold them.
        trusted: public keys as OpenSSH writes them.
        allow_unsigned: take the document as it is when no key is trusted.

    Raises:
        Refused: when no file is a signed volume.
        BundleError, MissingLibraryError: when a path or a trusted key cannot be used.
    """
    volumes, errors = open_volumes(find_volumes(paths))
    findings = [Finding("unreadable", 0, exc.path, "", f"{exc.where}: {exc.got}", exc.remedy) for exc in errors]
    documents: dict[bytes, list[Volume]] = {}
    signers: dict[bytes, str] = {}
    parsed: dict[bytes, fmt.Bundle] = {}
    try:
        for volume in volumes:
            try:
                document, signer = _signed(volume, trusted, allow_unsigned)
                if document not in parsed:
                    parsed[document] = fmt.parse(document, f"{fmt.DOCUMENT} of {volume.path}")
            except BundleError as exc:
                kind = "signature" if isinstance(exc, SignatureError) else "unreadable"
                findings.append(Finding(kind, 0, volume.path, fmt.DOCUMENT, f"{exc.where}: {exc.got}", exc.remedy))
                continue
            documents.setdefault(document, []).append(volume)
            signers[document] = signer
        if not documents:
            raise Refused("open the bundle", findings)
        # Whatever there are most volumes of is meant; the others are strangers.
        chosen = max(documents, key=lambda document: len(documents[document]))
        found = Opened(parsed[chosen], chosen, signers[chosen], {}, findings)
        for document, strangers in documents.items():
            if document != chosen:
                found.findings += [_stranger(found.bundle, parsed[document], volume) for volume in strangers]
        for volume in documents[chosen]:
            _place(found, volume)
    except BaseException:
        close_volumes(volumes)
        raise
    kept = {id(volume) for volume in found.volumes.values()}
    close_volumes([volume for volume in volumes if id(volume) not in kept])
    return found


def _signed(volume: Volume, trusted: Sequence[str], allow_unsigned: bool) -> tuple[bytes, str]:
    """Return the document of a volume, and the fingerprint of the trusted key that has signed it."""
    document = volume.read(fmt.DOCUMENT)
    if not trusted and allow_unsigned:
        return document, ""
    where = f"{fmt.SIGNATURE} of {volume.path}"
    if fmt.SIGNATURE not in volume.members:
        raise SignatureError(
            "check the signature", where=volume.path, got="it is not signed", remedy="Build it with a private key."
        )
    armored = volume.read(fmt.SIGNATURE, 64 << 10).decode("ascii", "replace")
    return document, sshsig.verify(document, armored, trusted, where=where).fingerprint


def _stranger(bundle: fmt.Bundle, other: fmt.Bundle, volume: Volume) -> Finding:
    same = (bundle.name, bundle.version) == (other.name, other.version)
    what = "another build of it" if same else f"a volume of {other.name} {other.version}"
    return Finding(
        "other-bundle",
        0,
        volume.path,
        fmt.DOCUMENT,
        f"{volume.path} is {what}, not of the bundle {bundle.name} {bundle.version} that the other files are of",
        "Give the volumes of one bundle at a time.",
    )


def _place(opened: Opened, volume: Volume) -> None:
    """Find out by its content which volume a file is, and compare its members with the document."""
    bundle = opened.bundle
    places = {
        path: (number, size) for number in range(1, bundle.volumes + 1) for path, size, _d in bundle.members(number)
    }
    votes = collections.Counter(places[name][0] for name in volume.members if name in places)
    number = votes.most_common(1)[0][0] if votes else next(iter(opened.missing), 1)

    def note(kind: str, content: str, text: str, remedy: str) -> None:
        named = f"volume {number} ({volume.path})"
        opened.findings.append(Finding(kind, number, volume.path, content, text.format(named=named), remedy))

    if number in opened.volumes:
        note(
            "volume-twice", "", f"{{named}} is there a second time, as {opened.volumes[number].path}", "Give each once."
        )
        volume.close()
        return
    opened.volumes[number] = volume
    for name, member in volume.members.items():
        if name in _METADATA:
            continue
        place, size = places.get(name, (0, 0))
        content = _content_of(name)
        if not place:
            note("foreign-member", content, f"{{named}} holds {name}, which the signed document does not know", _BUILD)
        elif place != number:
            note("foreign-member", content, f"{{named}} holds {name}, which belongs to volume {place}", _BUILD)
        elif member.size != size:
            note("damaged", content, f"{content} in {{named}} has {member.size} bytes and not {size}", _COPY)
    for path, _size, _digest in bundle.members(number):
        if path not in volume.members:
            note("member-missing", _content_of(path), f"{_content_of(path)} is not in {{named}}", _COPY)
    for name, wanted in ((fmt.LAYOUT, fmt.LAYOUT_CONTENT), (fmt.INDEX, bundle.index(number))):
        found = volume.members.get(name)
        if found is None:
            note("member-missing", name, f"{name} is not in {{named}}", _COPY)
        elif found.size != len(wanted) or volume.read(name) != wanted:
            note("damaged", name, f"{name} in {{named}} is not what follows from the signed document", _COPY)


def _content_of(path: str) -> str:
    """Return the digest that a path in the layout stands for, or the path of another member."""
    first, *rest = path.split("/")
    return ":".join(rest) if first == fmt.BLOBS and len(rest) == 2 else path


def check_content(
    opened: Opened,
    *,
    threads: int,
    only: Collection[str] | None = None,
    moved: Callable[[int], None] = lambda size: None,
) -> tuple[int, list[Finding]]:
    """Read what the volumes hold and compare it with its digests; return the bytes that were read, and what is wrong.

    Args:
        opened: the volumes.
        threads: to read and compute with.
        only: digests of what to read, all and the files too without it.
        moved: called with the size of each piece.
    """
    work = []
    for number, volume in opened.volumes.items():
        for path, size, digest in opened.bundle.members(number):
            member = volume.members.get(path)
            if member and member.size == size and (only is None or _content_of(path) in only):
                work.append((number, volume, path, digest))
    # The largest first, so that no thread is left alone with it in the end.
    work.sort(key=lambda one: -one[1].members[one[2]].size)
    lock = threading.Lock()
    findings: list[Finding] = []
    total = 0

    def look_at_each(mine: Iterator[tuple[int, Volume, str, str]]) -> None:
        # Memory that is used for the first time costs more than to read into it.
        buffer = memoryview(bytearray(PIECE))
        for one in mine:
            look(one, buffer)

    def look(one: tuple[int, Volume, str, str], buffer: memoryview) -> None:
        nonlocal total
        number, volume, path, digest = one
        content, named = _content_of(path), f"volume {number} ({volume.path})"
        problem = ""
        hasher, size = Hasher(digest), 0
        try:
            for piece in volume.pieces(path, buffer):
                hasher.update(t.cast(bytes, piece))
                size += len(piece)
                moved(len(piece))
            if hasher.digest != digest:
                problem = f"{content} in {named} is damaged: its content has the sum {hasher.digest.partition(':')[2]}"
            elif digest in opened.bundle.manifests and path.startswith(fmt.BLOBS):
                problem = _compare_manifest(opened.bundle, digest, volume.read(path, _MOST_MANIFEST), named)
        except ArchiveError as exc:
            problem = f"{content} in {named} cannot be read: {exc.got}"
        with lock:
            total += size
            if problem:
                findings.append(Finding("damaged", number, volume.path, content, problem, _COPY))

    share(look_at_each, work, threads)
    return total, findings


def _compare_manifest(bundle: fmt.Bundle, digest: str, body: bytes, named: str) -> str:
    """Return how a manifest contradicts what the document says of it, or nothing."""
    listed = bundle.manifests[digest]
    try:
        entry = Pool().entry(Manifest(listed.media_type, digest, len(body), body))
    except RegistryError as exc:
        return f"{digest} in {named} is no manifest: {exc.got}"
    blobs = {blob.digest for blob in entry.blobs}
    needed = {blob.digest for blob in entry.blobs if not is_foreign(blob.media_type)}
    children = {child.digest for child in entry.children}
    if not needed <= set(listed.blobs) <= blobs or not set(listed.children) <= children:
        return f"{digest} in {named} needs other contents than the signed document says"
    if listed.subject != entry.subject:
        return f"{digest} in {named} belongs to {entry.subject}, the signed document says {listed.subject}"
    return ""


def missing_volumes(opened: Opened) -> Iterator[Finding]:
    """Yield a finding for each volume that is not at hand."""
    names = opened.bundle.file_names()
    for number in opened.missing:
        text = f"volume {number} ({names[number - 1]}) is not there"
        yield Finding("volume-missing", number, "", "", text, "Give all volumes, or say that some may be missing.")


def missing_in_parent(opened: Opened, parent: Opened) -> Iterator[Finding]:
    """Yield a finding for each content that a delta leaves to its parent and the parent does not have."""
    bundle = opened.bundle
    if bundle.parent and bundle.parent.sha256 != parent.sha256:
        text = f"the delta builds on {bundle.parent.name} {bundle.parent.version} with the sum {bundle.parent.sha256}, "
        text += f"the parent given is {parent.bundle.name} {parent.bundle.version} with the sum {parent.sha256}"
        yield Finding("other-parent", 0, "", "", text, "Give the bundle that the delta was built on.")
    for digest, blob in bundle.blobs.items():
        if blob.volume == fmt.ELSEWHERE and digest not in parent.bundle.blobs:
            text = f"{digest} is neither in the delta nor in its parent"
            yield Finding("not-in-parent", 0, "", digest, text, "Build the delta again, on the right parent.")


def as_dicts(findings: Sequence[Finding]) -> list[dict[str, t.Any]]:
    """Return findings for a module's result, sorted by volume and content."""
    return [one._asdict() for one in sorted(findings, key=lambda one: (one.volume, one.file, one.content))]
