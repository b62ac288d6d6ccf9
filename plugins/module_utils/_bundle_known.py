# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the receiver of a delta has already: from an earlier bundle, or from an inventory of its registry. Private."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import Volume
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError, SignatureError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_inventory import NAMESPACE
from ansible_collections.homeport.registry.plugins.module_utils._bundle_tools import read_file, read_if_there
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import Inventory

_MOST_SIGNATURE = 64 << 10


class Known(t.NamedTuple):
    """Digests that the receiver has, and the bundle that brought them, if that is how it is known."""

    digests: frozenset[str]
    parent: fmt.Parent | None


def read_known(params: t.Mapping[str, t.Any], own: str = "") -> Known:
    """Return what a module's parameters `parent` and `inventory` say.

    Args:
        params: the parameters.
        own: public key of whoever builds. With it the parent has to be signed, by this key or one of `trusted_keys`,
            and the inventory if there are `inventory_keys`; without it no signature is looked at.

    Raises:
        BundleError: when a file is not what it should be.
        MissingLibraryError: when a signature cannot be checked.
    """
    digests: set[str] = set()
    parent = None
    if params["parent"]:
        document = read_document(params["parent"])
        if own:
            _check_parent(params["parent"], document, [own, *params["trusted_keys"]])
        bundle = fmt.parse(document, params["parent"])
        parent = fmt.Parent(bundle.name, bundle.version, hashlib.sha256(document).hexdigest())
        digests |= set(bundle.blobs)
    if params["inventory"]:
        digests |= read_inventory(params["inventory"], params["inventory_keys"] if own else ())
    return Known(frozenset(digests), parent)


def _check_parent(path: str, document: bytes, trusted: t.Sequence[str]) -> None:
    """Compare bundle.json with its signature, in the same volume or in the file beside it."""
    if is_tar(path):
        with Volume(path) as volume:
            there = fmt.SIGNATURE in volume.members
            armored, where = volume.read(fmt.SIGNATURE, _MOST_SIGNATURE) if there else None, path
    else:
        armored, where = read_if_there(f"{path}.sig"), f"{path}.sig"
    if armored is None:
        raise SignatureError(
            "check the signature of the parent",
            where=where,
            got="there is none",
            remedy="Give a volume as it was built, or bundle.json with bundle.json.sig beside it.",
        )
    sshsig.verify(document, armored.decode("ascii", "replace"), trusted, where=f"the signature of the parent {path}")


def _check_inventory(path: str, content: bytes, trusted: t.Sequence[str]) -> None:
    """Compare an inventory with the signature in the file beside it."""
    armored = read_if_there(f"{path}.sig")
    if armored is None:
        raise SignatureError(
            "check the signature of the inventory",
            where=f"{path}.sig",
            got="there is none",
            remedy="Give bundle_inventory a key, and bring both files that it writes.",
        )
    text = armored.decode("ascii", "replace")
    sshsig.verify(content, text, trusted, namespace=NAMESPACE, where=f"the signature of the inventory {path}")


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


def read_inventory(path: str, trusted: t.Sequence[str] = ()) -> set[str]:
    """Return all digests that an inventory of a registry holds; with trusted keys one of them has to have signed it.

    Raises:
        BundleError: when the file is none, or is not signed.
        MissingLibraryError: when a signature cannot be checked.
    """
    content = read_file(path)
    if trusted:
        _check_inventory(path, content, trusted)
    try:
        document = json.loads(content)
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
