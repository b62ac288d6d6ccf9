# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a collection may free at most. Private."""

from __future__ import annotations

import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Ceiling
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected
from ansible_collections.homeport.registry.plugins.module_utils._gc_store import Scan


def measure(plan: Collected, store: Scan | None) -> dict[str, t.Any]:
    """Return what would go: counts, share of all blobs in percent, bytes (none where they cannot be known)."""
    blobs = len(plan.blobs)
    marked = plan.counts[0] if plan.counts else 0
    total = len(store.sizes) if store else marked + blobs
    return {
        "blobs": blobs,
        "manifests": sum(map(len, plan.untagged.values())),
        "links": sum(map(len, plan.links.values())),
        "share": round(100 * blobs / total, 1) if total else 0.0,
        "bytes": sum(store.sizes.get(digest, 0) for digest in plan.blobs) if store else None,
    }


def touched(plan: Collected, store: Scan | None) -> dict[str, set[str]]:
    """Return which digests each repository would lose."""
    found = {name: set(digests) for name, digests in plan.links.items()}
    for name, digests in plan.untagged.items():
        if name:
            found.setdefault(name, set()).update(digests)
    if store:
        # 2.8 names no repository: where a digest is linked, there it is lost.
        gone = plan.blobs | plan.untagged.get("", set())
        for name, digests in store.holders(gone).items():
            found.setdefault(name, set()).update(digests)
    return found


def check(plan: Collected, ceiling: Ceiling, store: Scan | None, *, names_links: bool) -> dict[str, t.Any]:
    """Return what would go. Raises RefusedError when that is more than the ceiling allows.

    names_links: whether this version says which repository loses a layer; 2.8 does not.
    """
    would = measure(plan, store)
    reasons = []
    if would["share"] > ceiling.share:
        reasons.append(f"{would['share']} % of all blobs would go, and registry_gc_ceiling_share is {ceiling.share:g}")
    if ceiling.bytes is not None:
        if would["bytes"] is None:
            reasons.append("registry_gc_ceiling_bytes is set, and this storage does not tell how many bytes would go")
        elif would["bytes"] > ceiling.bytes:
            reasons.append(f"{would['bytes']} bytes would go, and registry_gc_ceiling_bytes is {ceiling.bytes}")
    if ceiling.protected:
        losing = sorted(name for name in touched(plan, store) if ceiling.protects(name))
        if losing:
            more = f" and {len(losing) - 5} more" if len(losing) > 5 else ""
            names = ", ".join(losing[:5]) + more
            reasons.append(f"protected repositories would lose something: {names}")
        elif store is None and not names_links and plan.blobs:
            reasons.append(
                "registry_gc_protected is set, and this version does not tell which repositories lose something"
            )
    if reasons:
        raise RefusedError(
            "stay below the ceiling",
            where="the dry run",
            got="; ".join(reasons),
            remedy="Look at `eligible` in the report. If it is meant, raise the limit for one run and run gc again.",
        )
    return would
