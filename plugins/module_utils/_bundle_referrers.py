# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lists of what belongs to a manifest, under the tag where clients look when a registry cannot tell. Private.

No release of Distribution can tell. Without such a list nobody finds a signature, and a garbage collection of what has
no tag takes it away. A list that is there already may hold more, such as reports made on this side, and is added to.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Collection, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import ImagePlan
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    Manifest,
    get_manifest,
    pull,
    put_manifest,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    NotFoundError,
    UnreachableError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_INDEX, check_digest
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

Descriptors = dict[str, dict[str, t.Any]]
Read = t.Callable[[str], bytes]


def knows_referrers(session: Session, repository: str, digest: str) -> bool:
    """Tell whether a registry keeps lists of referrers by itself."""
    path = f"/v2/{repository}/referrers/{check_digest(digest)}"
    tried = f"ask what belongs to {repository}@{digest}"
    with session.request(tried, "GET", path, scope=pull(repository), expect=(200, 400, 404, 405)) as response:
        return response.status == 200


def wanted_lists(bundle: fmt.Bundle, image: ImagePlan) -> dict[str, list[str]]:
    """Return the tags of the lists that an image needs, each with the digests that have to be in it."""
    lists: dict[str, list[str]] = {}
    for digest in image.image.referrers:
        subject = bundle.manifests[digest].subject
        if subject:
            lists.setdefault(subject.replace(":", "-"), []).append(digest)
    for tag, digest in image.lists.items():
        lists[tag] = list(dict.fromkeys([*lists.get(tag, []), *bundle.manifests[digest].children]))
    return lists


def current_list(session: Session, repository: str, tag: str) -> Manifest | None:
    """Return what a tag shows now, or nothing."""
    try:
        return get_manifest(session, repository, tag)
    except NotFoundError:
        return None


def is_complete(current: Manifest | None, wanted: Collection[str]) -> bool:
    """Tell whether a list holds everything that it has to."""
    return current is not None and set(wanted) <= set(_listed(current.body))


def make_list(bundle: fmt.Bundle, current: Manifest | None, wanted: Collection[str], own: bytes, read: Read) -> bytes:
    """Return a list with what it lacks added.

    Args:
        bundle: the bundle.
        current: what is there.
        wanted: digests that have to be in it.
        own: the list that the bundle brings, byte for byte as its source served it; empty if it is not at hand.
        read: returns the body of a manifest.
    """
    told = _listed(own)
    if current is None and own and set(told) == set(wanted):
        return own
    # The source's own words about a referrer are taken before ours.
    merged = {digest: told.get(digest) or _descriptor(bundle, digest, read(digest)) for digest in wanted}
    merged |= _listed(current.body) if current else {}
    entries = [merged[digest] for digest in sorted(merged)]
    body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return json.dumps(body, sort_keys=True).encode()


def put_list(session: Session, repository: str, tag: str, body: bytes) -> str:
    """Store a list and return its digest.

    Distribution 3.1 with a list of platforms that have to be there breaks on entries without a platform, which say
    nothing about one here: they get one that no machine has.

    Raises:
        RegistryError: when it is not stored.
    """
    try:
        return put_manifest(session, repository, tag, body, OCI_INDEX, attempts=2)
    except UnreachableError:
        if has_platforms(body):
            raise
    document = json.loads(body)
    for one in document["manifests"]:
        one.setdefault("platform", {"architecture": "unknown", "os": "unknown"})
    return put_manifest(session, repository, tag, json.dumps(document, sort_keys=True).encode(), OCI_INDEX)


def listed(body: bytes) -> set[str]:
    """Return the digests in an index."""
    return set(_listed(body))


def has_platforms(body: bytes) -> bool:
    """Tell whether every entry of an index says what it runs on; also of what is no index."""
    return all("platform" in one for one in _listed(body).values())


def _descriptor(bundle: fmt.Bundle, digest: str, body: bytes) -> dict[str, t.Any]:
    entry = bundle.manifests[digest]
    document = json.loads(body)
    found: dict[str, t.Any] = {"mediaType": entry.media_type, "digest": digest, "size": entry.size}
    kind = document.get("artifactType") or (document.get("config") or {}).get("mediaType")
    if kind:
        found["artifactType"] = kind
    if document.get("annotations"):
        found["annotations"] = document["annotations"]
    return found


def _listed(body: bytes) -> Descriptors:
    """Return the descriptors of an index by digest, none for what is no index."""
    try:
        entries: Sequence[t.Any] = json.loads(body).get("manifests") or []
        return {str(one["digest"]): dict(one) for one in entries}
    except (ValueError, AttributeError, KeyError, TypeError):
        return {}
