# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Names and digests of the distribution specification. Private."""

from __future__ import annotations

import functools
import hashlib
import re
import typing as t
from urllib.parse import urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import BadNameError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# A registry answers 404 for a manifest of a type that is not listed, so all four go with every request.
MANIFEST_TYPES = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)

_FOREIGN = re.compile(r"\.foreign\.|\.nondistributable\.")

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"(?=.{{1,255}}\Z){_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
# Scheme, host and port of a URL; everything of what is none.
_BEGINNING = re.compile(r"(?:[a-z]+://)?[^/?#]*", re.IGNORECASE)


# Names under which Docker Hub is known; images of it are called after the first.
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class ImageName(t.NamedTuple):
    """An image as clients name it, spelled out: `host` with a port if there is one, `tag` and `digest` may be empty."""

    host: str
    repository: str
    tag: str
    digest: str

    @property
    def full(self) -> str:
        """The name with its tag, or with its digest when it has no tag."""
        return f"{self.host}/{self.repository}" + (f":{self.tag}" if self.tag else f"@{self.digest}")

    @property
    def carried(self) -> str:
        """The repository in a registry that holds images of other hosts: the host is its first part."""
        # A colon, before the port, cannot be part of a repository's name.
        return f"{self.host.replace(':', '_')}/{self.repository}"


def parse_image(name: str) -> ImageName:
    """Return the parts of an image's name; Docker's short forms are spelled out, and `latest` is the default tag.

    Raises:
        BadNameError: when a part is not well formed.
    """
    rest, at, digest = name.partition("@")
    first, slash, below = rest.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, below = _HUB[0], rest
    host = first.lower()
    repository, _colon, tag = below.partition(":")
    if host in _HUB:
        host = _HUB[0]
        repository = repository if "/" in repository else f"library/{repository}"
    if not _HOST.fullmatch(host):
        raise BadNameError(
            "use the image name",
            where=ascii(name),
            got=f"{host!a} is no host, or host and port",
            remedy="Write it as host/repository:tag or host/repository@sha256:...",
        )
    if below.endswith(":") or name.endswith("@"):
        # What is empty after its mark would else go unnoticed.
        check_reference("")
    if at:
        check_digest(digest)
    if tag:
        check_reference(tag)
    return ImageName(host, check_repository(repository), tag or ("" if at else "latest"), digest)


def is_foreign(media_type: str) -> bool:
    """Tell whether clients get a layer of this type from elsewhere, so that a registry may well not have it."""
    return bool(_FOREIGN.search(media_type))


class Origin(t.NamedTuple):
    """Scheme, host and port: what credentials belong to."""

    scheme: str
    host: str
    port: int


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute http or https URL.

    Raises:
        BadNameError: when it is none.
    """
    # Very many URLs begin alike.
    return _origin_of(_beginning(url))


def _beginning(url: str) -> str:
    found = _BEGINNING.match(url)
    return found[0] if found else ""


@functools.lru_cache(maxsize=256)
def _origin_of(url: str) -> Origin:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadNameError(
            "use the address",
            where=url,
            got="it is no http or https URL",
            remedy="Write it as https://host or https://host:port.",
        )
    return Origin(parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme])


def target_of(url: str) -> str:
    """Return path and query of an absolute URL, as a request names them."""
    rest = url[len(_beginning(url)) :].partition("#")[0]
    return rest if rest.startswith("/") else f"/{rest}"


def check_base_url(url: str) -> str:
    """Return the address of a registry without a trailing slash; a path prefix is allowed.

    Raises:
        BadNameError: when it holds more than scheme, host, port and path.
    """
    origin_of(url)
    parts = urlsplit(url)
    problem = ""
    if parts.username or parts.password:
        problem = "it holds a user name or a password"
    elif parts.query or parts.fragment:
        problem = "it holds a query or a fragment"
    elif parts.path.rstrip("/").endswith("/v2"):
        problem = "it ends in /v2, which the client adds"
    if problem:
        # The part before the @ may be a password.
        shown = url.rsplit("@", 1)[-1]
        raise BadNameError(
            "use the address", where=shown, got=problem, remedy="Write it as https://host or https://host:port."
        )
    return url.rstrip("/")


@functools.lru_cache(maxsize=256)
def is_repository(name: str) -> bool:
    """Tell whether a repository name is well formed."""
    return bool(_REPOSITORY.fullmatch(name))


def check_repository(name: str) -> str:
    """Return a repository name that is well formed.

    Raises:
        BadNameError: otherwise.
    """
    if not is_repository(name):
        raise BadNameError(
            "use the repository name",
            where=ascii(name),
            got="it is not well formed",
            remedy="Use lower-case letters, digits, single separators (. _ __ -) and slashes, at most 255 characters.",
        )
    return name


# A client looks at the same digest several times for each content.
@functools.lru_cache(maxsize=1024)
def is_digest(reference: str) -> bool:
    """Tell whether a reference is a digest of a known algorithm."""
    return _DIGEST.fullmatch(reference) is not None


def check_reference(reference: str) -> str:
    """Return a tag or digest that is well formed.

    Raises:
        BadNameError: otherwise.
    """
    if not (is_digest(reference) or _TAG.fullmatch(reference)):
        raise BadNameError(
            "use the tag or digest",
            where=ascii(reference),
            got="it is not well formed",
            remedy="Use a tag of at most 128 letters, digits, '_', '.' and '-', or a whole sha256: or sha512: digest.",
        )
    return reference


def check_digest(digest: str) -> str:
    """Return a digest that is well formed.

    Raises:
        BadNameError: otherwise, also for a tag.
    """
    if not is_digest(digest):
        raise BadNameError(
            "use the digest",
            where=ascii(digest),
            got="it is not well formed",
            remedy="Use sha256: or sha512: with lower-case hexadecimal digits.",
        )
    return digest


class Hasher:
    """Digest of a content that arrives in pieces."""

    def __init__(self, like: str = "sha256:") -> None:
        """Use the algorithm of the digest `like`."""
        self._algorithm = like.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)

    def update(self, data: bytes) -> None:
        """Add the next piece."""
        self._hash.update(data)

    @property
    def digest(self) -> str:
        """The digest of everything so far."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"


def digest_of(content: bytes, like: str = "sha256:") -> str:
    """Return the digest of a content by the algorithm of the digest `like`."""
    algorithm = like.partition(":")[0]
    # Not by name where it can be avoided, which takes longer than to hash a manifest.
    made = hashlib.sha256(content) if algorithm == "sha256" else hashlib.new(algorithm, content)
    return f"{algorithm}:{made.hexdigest()}"
