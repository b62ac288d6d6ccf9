# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Uploading blobs: at once, or in chunks that survive a broken connection. Private."""

from __future__ import annotations

import contextlib
import io
import typing as t
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    progress,
    push,
    start_upload,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    DigestError,
    HttpError,
    ProtocolError,
    UnreachableError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_digest
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

_OCTETS = "application/octet-stream"
# How often one upload may go on after a broken connection.
_RESUMES = 5


def bytes_body(content: bytes) -> Body:
    """Return a body of a content in memory."""
    return Body(lambda: io.BytesIO(content), len(content))


def cancel_upload(session: Session, repository: str, url: str) -> None:
    """Give an upload session up, so that nothing is left of it."""
    tried = f"cancel an upload to {repository}"
    session.request(tried, "DELETE", url, scope=push(repository), expect=(204,)).close()


def push_blob(session: Session, repository: str, digest: str, body: Body, *, chunk: int | None = None) -> None:
    """Store a blob; the registry compares it with the digest.

    Args:
        session: a session with the right to push.
        repository: where to.
        digest: digest of the whole content.
        body: the content; for chunks its streams must be seekable.
        chunk: bytes for each request, or nothing to send all in one. In chunks an upload goes on after a broken
            connection instead of beginning anew.

    Raises:
        RegistryError: when it could not be stored; the upload session is then given up.
    """
    check_digest(digest)
    url = start_upload(session, repository)
    try:
        if chunk is None:
            _finish(session, repository, digest, url, body)
        else:
            url = _send_chunks(session, repository, url, body, chunk)
            _finish(session, repository, digest, url, bytes_body(b""))
    except RegistryError:
        _give_up(session, repository, url)
        raise


def _give_up(session: Session, repository: str, url: str) -> None:
    """Cancel an upload that failed; what went wrong matters more than a session that the registry purges by itself."""
    with contextlib.suppress(RegistryError):
        try:
            cancel_upload(session, repository, url)
        except HttpError:
            # Distribution cancels only at a URL that knows how much has arrived; version 3 gives a new one.
            cancel_upload(session, repository, progress(session, repository, url)[0])


def _finish(session: Session, repository: str, digest: str, url: str, body: Body) -> None:
    tried = f"store the blob {repository}@{digest}"
    target = url + ("&" if urlsplit(url).query else "?") + f"digest={quote(digest, safe=':')}"
    headers = {"Content-Type": _OCTETS}
    with session.request(
        tried, "PUT", target, scope=push(repository), expect=(201,), headers=headers, body=body, repeatable=False
    ) as response:
        stored = response.headers.get("Docker-Content-Digest")
        if stored and stored != digest:
            raise DigestError(
                tried,
                where=f"PUT to {session.base}",
                got=f"the registry stored {stored}",
                remedy="Compare the content with the digest, and check every proxy on the way.",
            )


def _send_chunks(session: Session, repository: str, url: str, body: Body, chunk: int) -> str:
    """Send everything and return the URL at which the upload can be finished."""
    offset, resumes = 0, 0
    while offset < body.size:
        size = min(chunk, body.size - offset)
        headers = {"Content-Type": _OCTETS, "Content-Range": f"{offset}-{offset + size - 1}"}
        tried = f"upload bytes {offset} to {offset + size - 1} to {repository}"
        part = Body(_part(body, offset, size), size)
        try:
            response = session.request(
                tried, "PATCH", url, scope=push(repository), expect=(202,), headers=headers, body=part, repeatable=False
            )
        except (UnreachableError, HttpError) as exc:
            # 416: the registry was still taking in what came before the connection broke.
            if resumes == _RESUMES or (isinstance(exc, HttpError) and not (resumes and exc.status == 416)):
                raise
            resumes += 1
            session.transport.sleep(0.2 * resumes)
            url, offset = progress(session, repository, url)
            continue
        with response:
            url = session.resolve(tried, response, response.headers.get("Location"))
            arrived = response.headers.get("Range")
        offset += size
        if arrived != f"0-{offset - 1}":
            raise ProtocolError(
                tried,
                where=f"PATCH to {session.base}",
                got=f"the registry has the range {arrived}",
                remedy="Start the upload again; check that no proxy sends requests twice or removes headers.",
            )
    return url


def _part(body: Body, offset: int, size: int) -> Callable[[], t.BinaryIO]:
    def open_part() -> t.BinaryIO:
        with body.open() as whole:
            whole.seek(offset)
            return io.BytesIO(whole.read(size))

    return open_part
