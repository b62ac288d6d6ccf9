# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a run does first about one that ended inside its fence. Private."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import Lease, Taken
from ansible_collections.homeport.registry.plugins.module_utils._fence_writers import Writers
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import Report

# Below the Job's backoffLimit: whoever is its last pod has to bring the writers back.
_MOST_DEATHS = 3
_FENCED = frozenset(("fence", "collect", "release"))


def recover(
    taken: Taken,
    last: t.Mapping[str, t.Any] | None,
    lease: Lease,
    writers: Writers,
    report: Report,
    patience: float,
) -> None:
    """Bring the writers back where a fence was left behind, also one whose Lease somebody has deleted.

    Args:
        taken: how the Lease was found, which is ours now.
        last: the last report.
        lease: the Lease.
        writers: whom to bring back.
        report: gets what was found.
        patience: seconds for which an API server that does not answer is asked again.

    Raises:
        GcError: when pods of this run died inside the fence too often to try it again.
    """
    if taken.state == "free" and taken.writers_before is None:
        if writers.have_permit(patience):
            return
        # Whoever held it may not have noticed yet, and stops within this time.
        report.log("lease: nobody held it, and the write permit is missing all the same; wait for who may still work")
        time.sleep(lease.watch_seconds(lease.seconds))
    seconds = writers.bring_back(taken.writers_before, patience)
    step = (last or {}).get("step")
    report.document["recovered"] = {
        "state": taken.state,
        "holder": taken.holder,
        "step": step,
        "writers": taken.writers_before,
    }
    report.warn(
        f"a run before ended in step {step or 'unknown'} without giving the Lease back ({taken.holder or 'deleted'}); "
        f"the writers are back{'' if seconds is None else f' after {seconds:.1f} s'}"
    )
    report.event("Recovered", "The writers are back after a collection that ended without a word.", warning=True)
    history = report.document["history"]
    died = [one["step"] for one in history if one["run"] == report.document["run"] and one["outcome"] == "abandoned"]
    fenced = [step for step in died if step in _FENCED]
    if len(fenced) >= min(_MOST_DEATHS, report.kept):
        raise GcError(
            "get through the fence",
            where=f"run {report.document['run']}",
            got=f"its pods ended without a word in {', '.join(reversed(fenced))}, and another one would too",
            remedy="Look why: often it is memory, see registry_gc_resources. Pushes work meanwhile; then run gc again.",
        )
