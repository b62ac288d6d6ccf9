# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the receiver of a delta has already: from an earlier bundle, or from an inventory of its registry. Private."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import Volume
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_tools import read_file
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import Inventory


class Known(t.NamedTuple):
    """Digests that the receiver has, and the bundle that brought them, if that is how it is known."""

    digests: frozenset[str]
    parent: fmt.Parent | None


def read_known(params: t.Mapping[str, t.Any]) -> Known:
    """Return what a module's parameters `parent` and `inventory` say.

    Raises:
        BundleError: when a file is not what it should be.
    """
    digests: set[str] = set()
    parent = None
    if params["parent"]:
        document = read_document(params["parent"])
        bundle = fmt.parse(document, params["parent"])
        parent = fmt.Parent(bundle.name, bundle.version, hashlib.sha256(document).hexdigest())
        digests |= set(bundle.blobs)
    if params["inventory"]:
        digests |= read_inventory(params["inventory"])
    return Known(frozenset(digests), parent)


def read_document(path: str) -> bytes:
    """Return the bundle.json of a volume, or the file itself when it is one.

    Raises:
        BundleError: when it cannot be read.
    """
    if not is_tar(path):
        return read_file(path)
    with Volume(path) as volume:
        return volume.read(fmt.DOCUMENT)


def is_tar(path: str) -> bool:
    """Tell whether a file looks like a volume; one that cannot be read does not."""
    try:
        with open(path, "rb") as stream:
            return stream.read(262)[257:] == b"ustar"
    except OSError:
        return False


def read_inventory(path: str) -> set[str]:
    """Return all digests that an inventory of a registry holds.

    Raises:
        BundleError: when the file is none.
    """
    try:
        document = json.loads(read_file(path))
        found = document.get("inventory", document)
        if "digests" in found:
            return {str(digest) for digest in found["digests"]}
        inventory = Inventory.from_document(found)
    except (ValueError, AttributeError, TypeError) as exc:
        raise BundleError(
            "read the inventory",
            where=path,
            got=f"it is none: {exc}",
            remedy="Give a JSON file with what inventory_info or bundle_inventory has returned.",
        ) from exc
    entries = [entry for one in inventory.repositories.values() for entry in one.entries.values()]
    return {entry.digest for entry in entries} | {blob.digest for entry in entries for blob in entry.blobs}
