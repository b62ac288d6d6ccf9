# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The first look at a store, beside pushes: what does not fit together then is not yet a fault. Private."""

from __future__ import annotations

import time

from ansible_collections.homeport.registry.plugins.module_utils import _gc_store
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError, RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Look, Looker
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import Report

# How often a store that is pushed to is looked at, and for how many seconds, before the writers are stopped.
LOOKS = 3
LOOKING = 20.0


def look_beside_pushes(looker: Looker, report: Report, store: _gc_store.Scan | None, *, dry_run: bool) -> Look | None:
    """Look at a store that others change meanwhile.

    Args:
        looker: what looks.
        report: gets what was found.
        store: its files as they were found before, None where it has none.
        dry_run: nobody will look again inside the fence.

    Returns:
        What was seen, None where the store never held still for long enough.

    Raises:
        GcError: for a fault of the store, which is one only where nothing has changed since the look began.
    """
    kept = list(report.document["problems"])
    found, told, end = None, "", time.monotonic() + LOOKING
    for attempt in range(LOOKS):
        fault: GcError | None = None
        try:
            found = looker.look(store, beside=True)
        except GcError as error:
            # An interruption and an empty store are no contradiction.
            if type(error) not in (RefusedError, GcError):
                raise
            found, fault = None, error
        if fault is None and report.document["problems"] == kept:
            break
        before, told = told, f"{fault} {report.document['problems']}"
        again = looker.scan()
        # An object store does not tell whether it has changed; there, the same fault twice is one.
        still = again.fingerprint == store.fingerprint if again and store else before == told
        last = attempt == LOOKS - 1 or (not still and time.monotonic() > end and _has_moved(looker, again))
        if fault and (still or (dry_run and last)):
            raise fault
        if still:
            break
        store = again
        what = fault.got if fault else f"{len(report.document['problems']) - len(kept)} problems"
        report.document["problems"] = list(kept)
        report.log(f"something was pushed or deleted meanwhile: {what}")
        if last:
            break
    return found


def _has_moved(looker: Looker, changed: _gc_store.Scan | None) -> bool:
    """Tell whether something is known to have changed since the last look; files were compared before."""
    return changed is not None or looker.inventory() != looker.seen
