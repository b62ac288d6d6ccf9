# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The distribution API as functions. Private.

Every body that has a digest is compared with it. Errors are `RegistryError`s; see `_registry_errors`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import Question
from ansible_collections.homeport.registry.plugins.module_utils._registry_auth import Challenge, challenges_of, choose
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    DigestError,
    HttpError,
    ProtocolError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Response
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    MANIFEST_TYPES,
    Hasher,
    check_digest,
    check_reference,
    check_repository,
    digest_of,
    is_digest,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers, number_in

# The largest page that Distribution allows unless it is told otherwise.
_PAGE = 1000
# How registries that do not know the list of referrers answer.
_NO_REFERRERS = (400, 404, 405, 406, 415, 501)
_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """What a content is: media type, digest and size in bytes."""

    # Inventories hold very many of them.
    __slots__ = ("digest", "media_type", "size")

    media_type: str
    digest: str
    size: int


@dataclasses.dataclass(frozen=True)
class Manifest(Descriptor):
    """A manifest or index with its exact bytes."""

    body: bytes = dataclasses.field(repr=False)

    def document(self) -> dict[str, t.Any]:
        """Return the parsed manifest.

        Raises:
            ProtocolError: when it is no JSON object.
        """
        return _object(self.body, f"read the manifest {self.digest}", self.digest)


class Ping(t.NamedTuple):
    """What the registry says at its front door, to one user."""

    status: int
    challenge: Challenge | None
    api_version: str


def pull(repository: str) -> str:
    """Return the scope for reading a repository."""
    return f"repository:{repository}:pull"


def push(repository: str) -> str:
    """Return the scope for writing to a repository."""
    return f"repository:{repository}:pull,push"


def delete(repository: str) -> str:
    """Return the scope for deleting from a repository."""
    return f"repository:{repository}:delete"


def ask(session: Session) -> Ping:
    """Ask the front door without credentials what it wants; status 200 or 401, others raise."""
    response = session.transport.request("GET", f"{session.base}/v2/")
    if response.status not in (200, 401):
        # Asking again in the session's way gives the error its words.
        response.close()
        response = session.request("ask for the API", "GET", "/v2/", scope="", expect=(200,))
    with response:
        challenge = choose(challenges_of(response)) if response.status == 401 else None
        return Ping(response.status, challenge, response.headers.get("Docker-Distribution-Api-Version") or "")


def log_in(session: Session) -> None:
    """Check that the registry accepts the session's user; raises if not."""
    session.request("log in", "GET", "/v2/", scope="", expect=(200,)).close()


def get_manifest(session: Session, repository: str, reference: str) -> Manifest:
    """Read a manifest by tag or digest, whatever its type."""
    tried = f"read the manifest {_name(repository, reference)}"
    path = f"/v2/{check_repository(repository)}/manifests/{check_reference(reference)}"
    response = session.request(tried, "GET", path, scope=pull(repository), expect=(200,), headers=_ACCEPT)
    manifest, wrong = manifest_in(reference, response.headers, response.read())
    if wrong:
        raise _wrong_content(tried, response, wrong)
    return manifest


def manifest_question(repository: str, reference: str) -> Question:
    """Return what asks for a manifest by tag or digest, for `ask_ahead`."""
    path = f"/v2/{check_repository(repository)}/manifests/{check_reference(reference)}"
    return Question(path, pull(repository), _ACCEPT)


def manifest_in(reference: str, headers: Headers, body: bytes) -> tuple[Manifest, str]:
    """Return the manifest that is the answer to a question for it, and why it is the wrong one, if so."""
    announced = headers.get("Docker-Content-Digest") or ""
    wanted = reference if is_digest(reference) else announced if is_digest(announced) else "sha256:"
    seen = digest_of(body, wanted)
    media_type = headers.get_content_type()
    if seen == wanted == announced:
        return Manifest(media_type, seen, len(body), body), ""
    wrong = ""
    for source, digest in (("was asked for", reference), ("is announced", announced)):
        # One content may be known by digests of two algorithms; only the one computed can be compared.
        if is_digest(digest) and digest.partition(":")[0] == wanted.partition(":")[0] and digest != seen:
            wrong = f"{digest} {source}, the content is {seen}"
    return Manifest(media_type, seen, len(body), body), wrong


def head_manifest(session: Session, repository: str, reference: str) -> Descriptor:
    """Ask for a manifest's type, digest and size; reads it where the registry does not tell the digest."""
    tried = f"find the manifest {_name(repository, reference)}"
    path = f"/v2/{check_repository(repository)}/manifests/{check_reference(reference)}"
    with session.request(tried, "HEAD", path, scope=pull(repository), expect=(200,), headers=_ACCEPT) as response:
        digest = response.headers.get("Docker-Content-Digest") or ""
        size = number_in(response.headers.get("Content-Length"))
        media_type = response.headers.get_content_type()
    if not is_digest(digest) or size is None:
        return get_manifest(session, repository, reference)
    return Descriptor(media_type, digest, size)


def put_manifest(
    session: Session, repository: str, reference: str, body: bytes, media_type: str, *, attempts: int | None = None
) -> str:
    """Store a manifest under a tag or its digest and return its digest; `attempts` as in `Transport.request`."""
    tried = f"store the manifest {_name(repository, reference)}"
    path = f"/v2/{check_repository(repository)}/manifests/{check_reference(reference)}"
    headers = {"Content-Type": media_type}
    with session.request(
        tried, "PUT", path, scope=push(repository), expect=(201,), headers=headers, body=body, attempts=attempts
    ) as response:
        stored = response.headers.get("Docker-Content-Digest") or ""
        digest = digest_of(body, stored if is_digest(stored) else "sha256:")
        if stored and stored != digest:
            raise _wrong_content(tried, response, f"the registry stored {stored}, not {digest}")
        return digest


def delete_manifest(session: Session, repository: str, digest: str) -> None:
    """Delete a manifest and every tag on it."""
    _delete(session, repository, f"manifests/{check_digest(digest)}", f"the manifest {_name(repository, digest)}")


def delete_tag(session: Session, repository: str, tag: str) -> None:
    """Delete a tag and leave its manifest; Distribution does this from version 3 on."""
    _delete(session, repository, f"manifests/{check_reference(tag)}", f"the tag {_name(repository, tag)}")


def delete_blob(session: Session, repository: str, digest: str) -> None:
    """Take a blob out of a repository; a garbage collection frees its space."""
    _delete(session, repository, f"blobs/{check_digest(digest)}", f"the blob {_name(repository, digest)}")


def head_blob(session: Session, repository: str, digest: str) -> int:
    """Return the size of a blob in bytes; that it exists is proven only by reading it."""
    tried = f"find the blob {_name(repository, digest)}"
    path = f"/v2/{check_repository(repository)}/blobs/{check_digest(digest)}"
    with session.request(tried, "HEAD", path, scope=pull(repository), expect=(200,)) as response:
        size = number_in(response.headers.get("Content-Length"))
    if size is None:
        raise ProtocolError(
            tried,
            where=f"HEAD {path}",
            got="the answer does not tell the size",
            remedy="Check the proxy in front of the registry: it must not remove headers.",
        )
    return size


def stream_blob(session: Session, repository: str, digest: str) -> Iterator[bytes]:
    """Yield a blob in pieces and compare it with its digest at the end.

    The pieces are not to be trusted before the iterator has ended without an error.
    """
    hasher = Hasher(digest)
    with open_blob(session, repository, digest) as response:
        for piece in response.chunks():
            hasher.update(piece)
            yield piece
        if hasher.digest != digest:
            tried = f"read the blob {_name(repository, digest)}"
            raise _wrong_content(tried, response, f"the content is {hasher.digest}")


def open_blob(session: Session, repository: str, digest: str, first: int | None = None, *, rest: int = 0) -> Response:
    """Return the answer with a blob's bytes, not compared with anything.

    Args:
        session: a session with the right to pull.
        repository: a repository that has the blob.
        digest: of the blob.
        first: offset of the one byte that is wanted: the status is 206, 200 from a server that always sends all, or
            416 when there is no such byte. Without it the whole blob comes.
        rest: offset of the first byte that is wanted, with all that follow; the status is as with `first`.
    """
    tried = f"read the blob {_name(repository, digest)}"
    path = f"/v2/{check_repository(repository)}/blobs/{check_digest(digest)}"
    wanted = f"{rest}-" if rest else f"{first}-{first}" if first is not None else ""
    headers = {"Range": f"bytes={wanted}"} if wanted else {}
    expect = (200, 206, 416) if wanted else (200,)
    return session.request(tried, "GET", path, scope=pull(repository), expect=expect, headers=headers)


def last_byte_question(repository: str, digest: str, size: int) -> Question:
    """Return what asks for the last byte of a blob that is not empty, for `ask_ahead`; see `is_last_byte`."""
    path = f"/v2/{check_repository(repository)}/blobs/{check_digest(digest)}"
    offset = size - 1
    return Question(path, pull(repository), {"Range": f"bytes={offset}-{offset}"})


def is_last_byte(size: int, status: int, headers: Headers, body: bytes) -> bool:
    """Tell whether an answer is the last byte of a blob of this size, without any doubt."""
    last = size - 1
    return status == 206 and len(body) == 1 and headers.get("Content-Range") == f"bytes {last}-{last}/{size}"


def start_upload(session: Session, repository: str) -> str:
    """Open an upload session and return its URL."""
    tried = f"start an upload to {repository}"
    path = f"/v2/{check_repository(repository)}/blobs/uploads/"
    with session.request(tried, "POST", path, scope=push(repository), expect=(202,)) as response:
        return session.resolve(tried, response, response.headers.get("Location"))


def progress(session: Session, repository: str, url: str) -> tuple[str, int]:
    """Ask an upload session where to go on: its URL and the bytes it has."""
    tried = f"ask how far an upload to {repository} is"
    with session.request(tried, "GET", url, scope=push(repository), expect=(204,)) as response:
        return session.resolve(tried, response, response.headers.get("Location") or url), _received(tried, response)


def list_referrers(session: Session, repository: str, digest: str) -> list[Descriptor] | None:
    """Return what refers to a manifest, or nothing from a registry without this list, as Distribution is one."""
    tried = f"list what belongs to {_name(repository, digest)}"
    path = f"/v2/{check_repository(repository)}/referrers/{check_digest(digest)}"
    found: dict[str, Descriptor] = {}
    try:
        for page in session.pages(tried, path, pull(repository)):
            for one in _object(page, tried, path).get("manifests") or []:
                found[one["digest"]] = Descriptor(str(one["mediaType"]), check_digest(one["digest"]), int(one["size"]))
    except HttpError as exc:
        if exc.status not in _NO_REFERRERS:
            raise
        return None
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise _not_understood(tried, path) from exc
    return [found[one] for one in sorted(found)]


def list_repositories(session: Session) -> list[str]:
    """Return the names of all repositories, sorted; see `_registry_listing` for how far that can be trusted."""
    path, scope = "/v2/_catalog", "registry:catalog:*"
    return _merged(list_in_pages(session, "list the repositories", path, scope, "repositories", _PAGE))


def list_tags(session: Session, repository: str) -> list[str]:
    """Return the tags of a repository, sorted; see `_registry_listing` for how far that can be trusted."""
    path = f"/v2/{check_repository(repository)}/tags/list"
    # Pages of tags are what some versions on object storage lose entries between.
    return _merged(list_in_pages(session, f"list the tags of {repository}", path, pull(repository), "tags", None))


def list_in_pages(session: Session, tried: str, path: str, scope: str, key: str, size: int | None) -> list[list[str]]:
    """Return the pages of a list as the server sends them.

    Args:
        session: a session with the right to read the list.
        tried: what the caller attempts, for errors.
        path: of the list.
        scope: the right that is needed.
        key: under which the entries are.
        size: entries of a page to ask for; without it, or when it is too large, the server decides.
    """
    try:
        return _pages(session, tried, path if size is None else f"{path}?n={size}", scope, key)
    except HttpError as exc:
        if size is None or "PAGINATION_NUMBER_INVALID" not in exc.codes:
            raise
        return _pages(session, tried, path, scope, key)


def _received(tried: str, response: Response) -> int:
    """Return how many bytes the Range header of an upload says have arrived."""
    match = re.fullmatch(r"(?:bytes=)?0-(\d+)", response.headers.get("Range") or "")
    if not match:
        raise ProtocolError(
            tried,
            where=response.method,
            got="the answer does not say how much has arrived",
            remedy="Check the proxy in front of the registry: it must not remove headers.",
        )
    last = int(match.group(1))
    # "0-0" is how an upload without any bytes is written.
    return last + 1 if last else 0


def _pages(session: Session, tried: str, path: str, scope: str, key: str) -> list[list[str]]:
    found = []
    for page in session.pages(tried, path, scope):
        # An empty list comes as null from some versions.
        entries = _object(page, tried, path).get(key) or []
        if not isinstance(entries, list):
            raise _not_understood(tried, path)
        found.append([str(entry) for entry in entries])
    return found


def _merged(pages: list[list[str]]) -> list[str]:
    # Some versions repeat entries across pages.
    return sorted({entry for page in pages for entry in page})


def _delete(session: Session, repository: str, path: str, what: str) -> None:
    full = f"/v2/{check_repository(repository)}/{path}"
    session.request(f"delete {what}", "DELETE", full, scope=delete(repository), expect=(202,)).close()


def _name(repository: str, reference: str) -> str:
    return f"{repository}{'@' if is_digest(reference) else ':'}{reference}"


def _object(body: bytes, tried: str, where: str) -> dict[str, t.Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _not_understood(tried, where)
    return document


def _not_understood(tried: str, where: str) -> ProtocolError:
    return ProtocolError(
        tried,
        where=where,
        got="the answer is not the JSON that was asked for",
        remedy="Check that the address is a registry.",
    )


def _wrong_content(tried: str, response: Response, got: str) -> DigestError:
    return DigestError(
        tried,
        where=f"{response.method} {response.url}",
        got=got,
        remedy="Do not use this content; check the storage of the registry and every proxy on the way.",
    )
