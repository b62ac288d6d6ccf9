# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What can go wrong between us and a registry, and what to do about it. Private."""

from __future__ import annotations

import json
import re
import typing as t
from urllib.parse import urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError

# Statuses of a registry that as a whole does not answer now, which says nothing about a content.
NOT_NOW = frozenset((429, 502, 503, 504))


class UnreachableError(RegistryError):
    """No complete answer came back."""


class TlsError(UnreachableError):
    """The encrypted connection could not be set up, or would have been given up on the way."""


class ProxyError(UnreachableError):
    """The proxy does not let us through."""


class TruncatedError(UnreachableError):
    """An answer began and did not come to its end."""


class UnsafeRequestError(RegistryError):
    """A read-only client was asked to write."""


class ProtocolError(RegistryError):
    """The answer is not what the distribution API promises."""


class DigestError(RegistryError):
    """The content is not what its digest says."""


class BadNameError(RegistryError):
    """An address, a repository, a tag or a digest is not well formed."""


class HttpError(RegistryError):
    """The server answered with an error status."""

    def __init__(
        self, tried: str, *, where: str, got: str, remedy: str, status: int, codes: t.Sequence[str] = ()
    ) -> None:
        """Keep the status and the registry's own error codes beside the four answers."""
        super().__init__(tried, where=where, got=got, remedy=remedy)
        self.status = status
        self.codes = tuple(codes)
        # Seconds after which the server wants to be asked again, if it says so.
        self.retry_after = 0.0


class UnauthorizedError(HttpError):
    """401: no credentials, wrong ones, or ones without this right."""


class ForbiddenError(HttpError):
    """403: the credentials lack this right."""


class NotFoundError(HttpError):
    """404: no such repository, manifest, blob or upload."""


class NotAllowedError(HttpError):
    """405: the registry does not do this at all, or not now."""


class ThrottledError(HttpError):
    """429 or 503 until the retries were used up."""


_CLASSES: dict[int, type[HttpError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: NotAllowedError,
    429: ThrottledError,
    503: ThrottledError,
}

_BY_CODE = {
    "NAME_UNKNOWN": "Check the repository name; nothing was ever pushed to it.",
    "MANIFEST_UNKNOWN": "Check the tag or digest; it was not pushed here or was deleted.",
    "BLOB_UNKNOWN": "Push the blob again; it is not in this repository.",
    "MANIFEST_BLOB_UNKNOWN": "Push the missing blobs or children first; repeat if a garbage collection ran meanwhile.",
    "BLOB_UPLOAD_UNKNOWN": "Start the upload again; all replicas need the same http.secret and storage.",
    "BLOB_UPLOAD_INVALID": "Start the upload again; all replicas need the same http.secret and storage.",
    "DIGEST_INVALID": "Compare the digest with the content; to delete a tag needs Distribution 3 or newer.",
    "PAGINATION_NUMBER_INVALID": "Ask for fewer entries at a time, or raise catalog.maxentries of the registry.",
    "TOOMANYREQUESTS": "Repeat later, or with fewer requests at once.",
}

_BY_STATUS = {
    400: "Look into the log of the registry.",
    401: "Check name and password, and whether this user may do this: one that only reads gets 401 on a write.",
    403: "Give this user the right, or use another one.",
    404: "Check the address: this path is not served here.",
    405: "The registry does not allow it: see storage.delete.enabled and storage.maintenance.readonly.",
    413: "Raise the body limit of the proxy in front of the registry (nginx: client_max_body_size 0).",
    429: "Repeat later, or with fewer requests at once.",
    500: "Look into the log of the registry; a full volume shows like this.",
    502: "Check the pods behind the proxy.",
    503: "Repeat later; the part of the registry that writes may be away for maintenance or garbage collection.",
    504: "Check the pods behind the proxy and its timeouts.",
}


def error_documents(body: bytes) -> list[tuple[str, str]]:
    """Return (code, message) of each error in a registry's JSON answer, nothing when it is none."""
    try:
        errors = json.loads(body)["errors"]
        return [(str(error["code"]), str(error.get("message") or "")) for error in errors]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def http_error(
    tried: str, *, method: str, url: str, status: int, body: bytes, credentials: bool, retry_after: str | None = None
) -> HttpError:
    """Build the error for an unexpected status.

    Args:
        tried: what was attempted, as an infinitive without "to".
        method: the HTTP method.
        url: where the answer came from; its query is not shown.
        status: the HTTP status.
        body: the beginning of the answer.
        credentials: whether the request carried any.
        retry_after: the header of that name, if any.
    """
    documents = error_documents(body)
    told = "; ".join(f"{code} {message}".strip() for code, message in documents) or _plain_text(body)
    codes = [code for code, dummy in documents]
    return _CLASSES.get(status, HttpError)(
        tried,
        where=f"{method} {without_query(url)}",
        got=f"status {status}"
        + (f", {told}" if told else "")
        + (f", Retry-After {retry_after}" if retry_after else ""),
        remedy=_remedy(status, codes, told, credentials),
        status=status,
        codes=codes,
    )


def without_query(url: str) -> str:
    """Return the URL without its query, which may hold upload state or signatures."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _remedy(status: int, codes: t.Sequence[str], told: str, credentials: bool) -> str:
    if status == 400 and "HTTPS" in told:
        return "This port speaks TLS: begin the address with https://."
    if status == 401 and not credentials:
        return "Give a user name and a password."
    for code in codes:
        if code in _BY_CODE:
            return _BY_CODE[code]
    if 300 <= status < 400:
        return "Use the address that the server redirects to."
    return _BY_STATUS.get(status, _BY_STATUS[400])


def _plain_text(body: bytes) -> str:
    """Return the beginning of a body that is no registry document, without markup and control characters."""
    text = re.sub(r"<[^>]*>", " ", body.decode(errors="replace"))
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:200]
