# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""JSON requests to the API server on kept connections, with bounded retries.

This module is private to the collection.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import (
    Access,
    authorization,
    build_pool,
    mask,
)

# _kube_auth reports the missing client library before anything here runs
with contextlib.suppress(ImportError):
    import urllib3

USER_AGENT = "homeport.registry"
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
ATTEMPTS = 6
FIRST_CONTACT_ATTEMPTS = 3
LONGEST_PAUSE = 30.0
LIST_LIMIT = 500
RETRY_SECONDS = 90.0
APPLY_CONTENT_TYPE = "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

# Now and then one of many handshakes at the same moment is seen to end like this. The server has read no request
# then, so it can be sent again.
_TLS_MISHAPS = (
    "decode error",
    "decrypt error",
    "internal error",
    "bad record mac",
    "unexpected message",
    "eof occurred",
)
_TRANSIENT = ("failed calling webhook", "etcdserver", "etcd", "timed out", "timeout", "leader changed")


class Unreachable(Exception):
    """The API server gave no answer; nothing else can be tried on this connection."""


class ApiError(Exception):
    """The API server refused a request.

    ``status`` is the HTTP status; ``reason``, ``message``, ``details`` come from the Status object.
    """

    def __init__(self, method: str, path: str, status: int, body: Any) -> None:
        document = body if isinstance(body, dict) else {}
        self.method = method
        self.path = path
        self.status = status
        self.reason = str(document.get("reason") or "")
        self.message = str(document.get("message") or (body if isinstance(body, str) else "")).strip()
        self.details: dict[str, Any] = document.get("details") or {}
        super().__init__(f"{method} {path}: {status} {self.reason} {self.message}")

    @property
    def causes(self) -> list[dict[str, str]]:
        """Return the causes in the Status object, each with ``reason``, ``message`` and ``field``."""
        return self.details.get("causes") or []

    @property
    def missing_namespace(self) -> str | None:
        """Return the namespace whose absence made the server refuse, if that was the reason."""
        if self.status == 404 and self.details.get("kind") == "namespaces":
            return str(self.details.get("name"))
        return None

    @property
    def missing_kind(self) -> bool:
        """Tell whether the server does not serve the resource at all."""
        return self.status == 404 and not self.details.get("name")


@dataclass(frozen=True)
class Answer:
    """A successful answer.

    ``earliest`` is the server's clock, in whole seconds, at or before which the request arrived;
    None when the server sent no date. ``retried`` tells that an earlier attempt may have worked.
    """

    status: int
    body: Any
    earliest: int | None
    retried: bool


class ApiClient:
    """Requests to one API server; safe to use from several threads.

    ``read_only`` makes the client refuse every request that would write, whoever asks.
    ``requests`` counts what was sent, repeated attempts included.
    """

    def __init__(self, access: Access, *, connections: int, read_only: bool) -> None:
        self.access = access
        self.base = access.configuration.host
        self.read_only = read_only
        self.requests = 0
        self._pool = build_pool(access, connections)
        self._lock = threading.Lock()
        self._answered = False
        self._ahead = 0.0
        self._lost = "stopped"
        self._stopped = threading.Event()

    def now(self) -> float:
        """Return the time by the server's clock, as far as it has told it."""
        return time.time() + self._ahead

    def get(self, path: str, query: Mapping[str, Any] | None = None, accept: str = "application/json") -> Any:
        """Return the parsed body of a GET."""
        return self._send("GET", path, query, {"Accept": accept}, None).body

    def find(self, path: str, accept: str = "application/json") -> Any:
        """Return the object at ``path``, or None when it does not exist."""
        try:
            return self.get(path, accept=accept)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list_metadata(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the metadata of all objects of a collection, read in pages."""
        items: list[dict[str, Any]] = []
        page = {**query, "limit": LIST_LIMIT}
        while True:
            found = self.get(path, page, METADATA_LIST)
            items += found.get("items") or ()
            following = (found.get("metadata") or {}).get("continue")
            if not following:
                return items
            page = {**page, "continue": following}

    def text(self, path: str, query: Mapping[str, Any]) -> str:
        """Return a plain text answer, for example a container log."""
        body = self._send("GET", path, query, {"Accept": "*/*"}, None).body
        return body if isinstance(body, str) else json.dumps(body)

    def apply(self, path: str, query: Mapping[str, Any], body: Any, accept: str = "application/json") -> Answer:
        """Send one server-side apply; a dry run when the client is read-only."""
        dry_run = {"dryRun": "All"} if self.read_only else {}
        headers = {"Accept": accept, "Content-Type": APPLY_CONTENT_TYPE}
        return self._send("PATCH", path, {**query, **dry_run}, headers, body)

    def create(self, path: str, body: Any) -> Answer:
        """Create an object in the collection at ``path``; a dry run when the client is read-only."""
        dry_run = {"dryRun": "All"} if self.read_only else {}
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return self._send("POST", path, dry_run, headers, body)

    def patch(self, path: str, query: Mapping[str, Any], operations: list[dict[str, Any]]) -> Answer:
        """Send one JSON patch; a dry run when the client is read-only."""
        dry_run = {"dryRun": "All"} if self.read_only else {}
        headers = {"Accept": "application/json", "Content-Type": "application/json-patch+json"}
        return self._send("PATCH", path, {**query, **dry_run}, headers, operations)

    def delete(self, path: str, options: Mapping[str, Any]) -> Answer:
        """Send one delete with the given DeleteOptions; a dry run when the client is read-only."""
        # with a body the server ignores dryRun in the query
        dry_run = {"dryRun": ["All"]} if self.read_only else {}
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return self._send("DELETE", path, None, headers, {**options, **dry_run})

    def watch(self, path: str, query: Mapping[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
        """Yield watch events for at most ``seconds``.

        Ends silently when the stream ends, breaks, or cannot start for a reason that reading again heals.
        """
        query = {**query, "watch": "true", "timeoutSeconds": max(1, int(seconds + 0.999))}
        accept = {"Accept": "application/json"}
        try:
            response = self._exchange("GET", path, query, accept, None, seconds + 5, stream=True)
            if response.status == 200:
                yield from _json_lines(response.stream(65536))
            elif response.status not in (410, 429) and response.status < 500:
                raise ApiError("WATCH", path, response.status, _parse(response.read()))
        except (urllib3.exceptions.HTTPError, ValueError):
            return

    def _send(
        self, method: str, path: str, query: Mapping[str, Any] | None, headers: dict[str, str], body: Any
    ) -> Answer:
        started = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._exchange(method, path, query, headers, body, READ_SECONDS)
            except urllib3.exceptions.HTTPError as error:
                pause = self._pause_after_loss(error, attempt)
            else:
                data = _parse(response.data)
                told = server_second(response.headers.get("Date"), 0.0)
                if told is not None:
                    self._ahead = told - time.time()
                if 200 <= response.status < 300:
                    if "json" in headers["Accept"] and not isinstance(data, dict):
                        raise Unreachable(self._not_the_api(response.data))
                    elapsed = time.monotonic() - started
                    earliest = server_second(response.headers.get("Date"), elapsed)
                    return Answer(response.status, data, earliest, attempt > 1)
                failure = ApiError(method, path, response.status, data)
                wanted = pause_before_retry(failure, response.headers.get("Retry-After"), attempt)
                if wanted is None or time.monotonic() - started + wanted > RETRY_SECONDS:
                    raise failure
                pause = wanted
            if self._stopped.wait(pause):
                raise Unreachable(self._lost)

    def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        headers: dict[str, str],
        body: Any,
        read_seconds: float,
        stream: bool = False,
    ) -> Any:
        if self.read_only and not is_dry(method, query, body):
            raise AssertionError(f"{method} {path} would write in check mode")
        sent = urllib3.HTTPHeaderDict(headers)
        sent["User-Agent"] = USER_AGENT
        for name, value in self.access.headers:
            sent.add(name, value)
        with self._lock:
            self.requests += 1
            token = authorization(self.access)
        if token:
            sent["Authorization"] = token
        response = self._pool.request(
            method,
            self.base + path + (f"?{urlencode(query)}" if query else ""),
            headers=sent,
            body=None if body is None else json.dumps(body).encode(),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            retries=False,
            redirect=False,
            preload_content=not stream,
        )
        self._answered = True
        return response

    def _not_the_api(self, data: bytes) -> str:
        """Say that something else answers, such as the page of a proxy that wants somebody to sign in."""
        text = " ".join(re.sub(r"<[^>]*>", " ", data.decode("utf-8", "replace")).split())[:200]
        where = mask(self.access.description, self.access.secrets)
        return (
            f"what answers at {where} is not the Kubernetes API: it sent {text or 'nothing'}; check the address in"
            " the kubeconfig, and proxies on the way"
        )

    def _pause_after_loss(self, error: Exception, attempt: int) -> float:
        """Return how long to wait before the next attempt, or raise Unreachable."""
        fatal, text = describe_loss(error)
        limit = ATTEMPTS if self._answered else FIRST_CONTACT_ATTEMPTS
        if fatal or attempt >= limit or self._stopped.is_set():
            where = mask(self.access.description, self.access.secrets)
            tries = "" if attempt == 1 else f" after {attempt} attempts"
            if not self._stopped.is_set():
                self._lost = f"the Kubernetes API at {where} cannot be reached{tries}: {text}"
                self._stopped.set()
            raise Unreachable(self._lost)
        return backoff(attempt)


def is_dry(method: str, query: Mapping[str, Any] | None, body: Any) -> bool:
    """Tell whether the server will answer a request without writing anything."""
    if method == "DELETE":
        return bool(body and body.get("dryRun") == ["All"])
    return method == "GET" or (query or {}).get("dryRun") == "All"


def backoff(attempt: int) -> float:
    """Return the pause in seconds after the given attempt, counted from 1."""
    return min(LONGEST_PAUSE, 0.25 * 2.0 ** (attempt - 1))


def pause_before_retry(error: ApiError, retry_after: str | None, attempt: int) -> float | None:
    """Return the pause in seconds before a refused request is worth repeating, None when it is not."""
    if attempt >= ATTEMPTS or not _is_transient(error):
        return None
    wanted = retry_after if retry_after and retry_after.isdigit() else error.details.get("retryAfterSeconds")
    if wanted is not None:
        return min(LONGEST_PAUSE, max(0.05, float(wanted)))
    return backoff(attempt)


def _is_transient(error: ApiError) -> bool:
    if error.status in (429, 502, 503, 504):
        return True
    text = error.message.lower()
    if error.status == 500:
        return error.reason == "ServerTimeout" or any(part in text for part in _TRANSIENT)
    if error.status == 403:
        # a quota that was created a moment ago has no usage figures yet
        return "status unknown for quota" in text
    # two writers met; a conflict about the owner of a field reads differently
    return error.status == 409 and "the object has been modified" in text


def describe_loss(error: Exception) -> tuple[bool, str]:
    """Return whether repeating is pointless and a text without the library's object dumps."""
    names = {type(item).__name__ for item in _chain(error)}
    text = str(next((item for item in reversed(list(_chain(error)))), error))
    if "certificate verify failed" in text.lower() or "CertificateError" in names:
        reason = text.rpartition("certificate verify failed:")[2].partition("(_ssl")[0].strip()
        about = "ca_cert, the kubeconfig, or the host name"
        if "not yet valid" in reason or "expired" in reason:
            about = f"the clock here, which says {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, or renew it"
        return True, f"its certificate is not trusted ({reason}); check {about}"
    if "NameResolutionError" in names or "gaierror" in names:
        return True, "its host name cannot be resolved"
    if "SSLError" in names:
        mishap = any(words in text.lower().replace("_", " ") for words in _TLS_MISHAPS)
        return not mishap, f"TLS failed ({text})"
    if "ConnectTimeoutError" in names:
        return False, f"no connection within {CONNECT_SECONDS:.0f} seconds"
    if "ReadTimeoutError" in names:
        return False, f"no answer within {READ_SECONDS:.0f} seconds"
    if "ConnectionRefusedError" in names or "refused" in text:
        return False, "connection refused"
    return False, text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 8:
        yield error
        seen += 1
        inner = getattr(error, "reason", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__


def server_second(date: str | None, elapsed: float) -> int | None:
    """Return the whole second of the server's clock at which the request cannot have arrived later."""
    try:
        return int(parsedate_to_datetime(date or "").timestamp() - elapsed)
    except (TypeError, ValueError):
        return None


def _parse(data: bytes) -> Any:
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_lines(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
