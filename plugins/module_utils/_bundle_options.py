# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options of the modules that read a bundle, and what they say about it. Private."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._bundle_check import Opened, open_bundle


def bundle_spec() -> dict[str, dict[str, t.Any]]:
    """Return the argument specification that the fragment `_bundle` documents."""
    return {
        "bundle": {"type": "list", "elements": "path", "required": True},
        "trusted_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "allow_unsigned": {"type": "bool", "default": False},
    }


def open_from(params: t.Mapping[str, t.Any]) -> Opened:
    """Open the bundle that a module's parameters name.

    Raises:
        BundleError, MissingLibraryError: see `open_bundle`.
    """
    return open_bundle(params["bundle"], params["trusted_keys"], allow_unsigned=params["allow_unsigned"])


def about(opened: Opened) -> dict[str, t.Any]:
    """Return what a bundle is, for a module's result."""
    bundle = opened.bundle
    return {
        "name": bundle.name,
        "version": bundle.version,
        "sha256": opened.sha256,
        "signed_by": opened.signer,
        "parent": bundle.parent._asdict() if bundle.parent else None,
        "volumes": [
            {"number": number, "file": volume.path, "bytes": volume.size}
            for number, volume in sorted(opened.volumes.items())
        ],
        "missing_volumes": opened.missing,
    }


def threads_for(wanted: int) -> int:
    """Return how many threads compute digests: as asked for, or one for each processor without a number."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted or there
