# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One registry as one account, asked once for each thing: whatever is refused is seen, and repeated by who asked."""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t
from collections.abc import Iterator

from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    delete_manifest,
    delete_tag,
    get_manifest,
    head_blob,
    push,
    put_manifest,
    stream_blob,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    HttpError,
    NotFoundError,
    RegistryError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Response, retry_after
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_upload import bytes_body
from tests.storm.images import Content, Image, Manifest

OCTETS = {"Content-Type": "application/octet-stream"}


@dataclasses.dataclass(frozen=True)
class Account:
    """A name and a password; without a name the client is anonymous."""

    name: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a registry is: its URL, and the file of the authority that alone is trusted, if not the system's."""

    url: str
    ca: str | None = None


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What a client was told instead of success; status 0: nothing, the connection failed."""

    status: int
    codes: tuple[str, ...]
    message: str
    retry_after: float

    @property
    def explained(self) -> bool:
        """Tell whether the registry itself said why, in an error document of its API."""
        return self.status != 0 and bool(self.codes)

    def document(self) -> dict[str, t.Any]:
        """Return plain JSON."""
        return {**dataclasses.asdict(self), "codes": list(self.codes), "explained": self.explained}


class _Witness(Transport):
    """Keeps, for each thread, when the last answer told it to come back."""

    def __init__(self, **options: t.Any) -> None:
        super().__init__(**options)
        self._last = threading.local()

    def request(self, *args: t.Any, **options: t.Any) -> Response:
        self._last.seconds = 0.0
        response = super().request(*args, **options)
        self._last.seconds = retry_after(response.headers.get("Retry-After"), time.time())
        return response

    @property
    def told(self) -> float:
        return float(getattr(self._last, "seconds", 0.0))


class Registry:
    """The registry. Methods raise RegistryError; `refusal` says what it means."""

    def __init__(self, address: Address, account: Account, *, attempts: int = 1, timeout: float = 60.0) -> None:
        """Keep the address and the account; `attempts` above 1 repeat what was refused with 429 or 503."""
        context = make_context(ca_file=address.ca) if address.ca else None
        self._transport = _Witness(context=context, attempts=attempts, timeout=timeout)
        self.session = Session(self._transport, address.url, account.name, account.password)

    def refusal(self, error: RegistryError) -> Refusal:
        """Return what the last request of this thread was told."""
        if isinstance(error, HttpError):
            return Refusal(error.status, error.codes, error.got, self._transport.told)
        return Refusal(0, (), f"{type(error).__name__}: {error.got}", 0.0)

    def push_image(self, repository: str, image: Image, *, source: str | None = None, think: float = 0.0) -> None:
        """Push an image as clients do: what the registry says it has is not sent again.

        Args:
            repository: where to.
            image: what.
            source: a repository to mount blobs from.
            think: seconds between the last blob and the first manifest, as a slower client would take.
        """
        for digest, blob in image.blobs.items():
            if not self.has(repository, digest):
                self._put_blob(repository, blob, source)
        time.sleep(think)
        for manifest in image.manifests:
            content = manifest.content
            put_manifest(self.session, repository, manifest.tag or content.digest, content.body, content.media_type)

    def has(self, repository: str, digest: str) -> bool:
        """Tell whether the registry says that it has a blob."""
        try:
            head_blob(self.session, repository, digest)
        except NotFoundError:
            return False
        return True

    def _put_blob(self, repository: str, blob: Content, source: str | None) -> None:
        path = f"/v2/{repository}/blobs/uploads/"
        if source is not None:
            path += f"?mount={blob.digest}&from={source}"
        tried = f"upload {blob.digest} to {repository}"
        rights = push(repository)
        with self.session.request(tried, "POST", path, scope=rights, expect=(201, 202)) as started:
            if started.status == 201:
                return
            url = self.session.resolve(tried, started, started.headers.get("Location"))
        url += f"{'&' if '?' in url else '?'}digest={blob.digest}"
        body = bytes_body(blob.body)
        self.session.request(
            tried, "PUT", url, scope=rights, expect=(201,), headers=OCTETS, body=body, repeatable=False
        ).close()

    def delete_image(self, repository: str, digests: t.Sequence[str]) -> bool:
        """Delete manifests by digest; False where the registry does not delete at all.

        One that is not there is no fault, since a refused try may have got so far.
        """
        for digest in digests:
            try:
                delete_manifest(self.session, repository, digest)
            except NotFoundError:
                continue
            except HttpError as error:
                if error.status == 405 and "UNSUPPORTED" in error.codes:
                    return False
                raise
        return True

    def untag(self, repository: str, tag: str) -> bool:
        """Take a tag away and leave what it names; False where the registry cannot (Distribution before version 3)."""
        try:
            delete_tag(self.session, repository, tag)
        except NotFoundError:
            return True
        except HttpError as error:
            if error.status in (400, 405):
                return False
            raise
        return True

    def read_image(self, repository: str, image: Image, *, tagged: bool = True) -> int:
        """Read every byte of an image, compare every digest, and return how many requests that took.

        Raises RegistryError at the first thing that is not there or is not what it should be.
        """
        count = 0
        for _count in self.reading(repository, image, tagged=tagged):
            count += 1
        return count

    def reading(self, repository: str, image: Image, *, tagged: bool = True) -> Iterator[str]:
        """Read an image step by step; yield what was read, raise where it could not be."""
        for manifest in image.manifests:
            if tagged and manifest.tag is not None:
                yield self._read_manifest(repository, manifest, manifest.tag)
            yield self._read_manifest(repository, manifest, manifest.content.digest)
        for digest in image.blobs:
            for _piece in stream_blob(self.session, repository, digest):
                pass
            yield digest

    def _read_manifest(self, repository: str, manifest: Manifest, reference: str) -> str:
        found = get_manifest(self.session, repository, reference)
        if found.body != manifest.content.body:
            raise RegistryError(
                f"read the manifest {reference}",
                where=repository,
                got=f"it is {found.digest} and not {manifest.content.digest}",
                remedy="Find out who has pushed to this tag.",
            )
        return reference
