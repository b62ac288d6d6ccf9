# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From opening a bundle to telling what became of each image: the work of bundle_push. Private."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Mapping

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_check as check
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import ContentError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_journal import Journal, Progress
from ansible_collections.homeport.registry.plugins.module_utils._bundle_options import threads_for
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import Plan, make_plan
from ansible_collections.homeport.registry.plugins.module_utils._bundle_push import Outcome, Pusher
from ansible_collections.homeport.registry.plugins.module_utils._bundle_survey import Place
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import pull
from ansible_collections.homeport.registry.plugins.module_utils._registry_resume import Limits
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import Throttle

_SHOWN = 5
OLD_SERVER = (
    "The registry looks like Distribution 2.8. Collect garbage there without delete-untagged only: with it, 2.8 deletes"
    " the platforms of every image with several, and what belongs to images, such as signatures. Better use version 3."
)


class PushFailed(ContentError):
    """Not everything is in the registry; `result` says what is."""

    def __init__(self, url: str, got: str, remedy: str, result: Mapping[str, t.Any]) -> None:
        """Keep the result."""
        super().__init__("push the bundle", where=url, got=got, remedy=remedy)
        self.result = dict(result)


def push(
    session: Session,
    opened: check.Opened,
    *,
    threads: int,
    limits: Limits,
    throttle: Throttle,
    state_dir: str = "",
    progress_file: str | None = None,
    check_mode: bool = False,
) -> tuple[dict[str, t.Any], list[str]]:
    """Push the volumes at hand; return a module's result, and warnings.

    Args:
        session: with the right to pull, and to push unless in check mode.
        opened: the volumes.
        threads: connections to use at once.
        limits: of each upload.
        throttle: how many upload at once.
        state_dir: folder for what is written down to go on after a crash; empty for none.
        progress_file: where to say how far it is.
        check_mode: only say what would be done.

    Raises:
        check.Refused: when the volumes are not what was signed; nothing was pushed.
        PushFailed: when something is not in the registry; a result comes with it.
        RegistryError: when the registry does not answer, before anything was pushed.
    """
    began = time.monotonic()
    if opened.findings:
        raise check.Refused("push the bundle", opened.findings)
    plan = make_plan(session, opened, threads)
    _refuse_absent(session, opened, plan)
    _check_needed(opened, plan)
    progress = Progress(None if check_mode else progress_file, plan.sent, len(plan.images))
    warnings: list[str] = []
    journal = Journal("" if check_mode else state_dir, session.base, opened.sha256)
    warnings += [journal.problem] if journal.problem else []
    pusher = Pusher(
        session,
        opened,
        plan,
        journal=journal,
        progress=progress,
        throttle=throttle,
        threads=threads,
        limits=limits,
    )
    done = False
    try:
        outcome = pusher.foretell() if check_mode else pusher.run()
        done = not (outcome.fatal or outcome.problems)
    finally:
        journal.close(done=done)
    progress.enter("done" if done else "failed")
    result = _result(opened, plan, outcome, check_mode)
    seconds = time.monotonic() - began
    result["totals"] |= {"wire": progress.wire, "seconds": round(seconds, 3), "least_connections": throttle.least}
    _judge(session, result, outcome)
    if not check_mode and _looks_old(session, [image["repository"] for image in result["images"]]):
        warnings.append(OLD_SERVER)
    return result, warnings


def _refuse_absent(session: Session, opened: check.Opened, plan: Plan) -> None:
    if not plan.absent:
        return
    parent = opened.bundle.parent
    on = f"{parent.name} {parent.version}" if parent else "what the receiver was said to have"
    shown = ", ".join(plan.absent[:_SHOWN])
    more = f" and {len(plan.absent) - _SHOWN} more" if len(plan.absent) > _SHOWN else ""
    images = sorted(image.image.name for image in plan.images if image.absent)
    raise PushFailed(
        session.base,
        f"the bundle is a delta on {on}, and {len(plan.absent)} contents that it leaves out are not there: "
        f"{shown}{more}",
        "Push what it builds on first, or build a delta on an inventory of this registry. Nothing was pushed.",
        {"absent": plan.absent, "incomplete": images},
    )


def _check_needed(opened: check.Opened, plan: Plan) -> None:
    """Compare with its digest all that will be read from the volumes, before the first write."""
    needed = {one.digest for one in plan.transfers}
    for image in plan.images:
        if not plan.is_done(image):
            needed.update(image.manifests, image.image.tags.values())
    _read, findings = check.check_content(opened, threads=threads_for(0), only=needed)
    if findings:
        raise check.Refused("push the bundle", findings)


def _result(opened: check.Opened, plan: Plan, outcome: Outcome, check_mode: bool) -> dict[str, t.Any]:
    images, claimed = [], set[Place]()
    totals = {"sent": 0, "mounted": 0, "skipped": 0}
    for image in plan.images:
        name = image.image.name
        sizes = {"sent": 0, "mounted": 0, "skipped": 0}
        parked = [] if image.ready else image.manifests
        for digest in [*image.blobs, *parked]:
            place = (image.repository, digest)
            how = outcome.how.get(place)
            if how and place not in claimed:
                claimed.add(place)
                sizes[how] += opened.bundle.blobs[digest].size
            elif how or place in plan.found.blobs:
                sizes["skipped"] += opened.bundle.blobs[digest].size
        for key, size in sizes.items():
            totals[key] += size
        served = outcome.served.get(name, "")
        # Lists of referrers are under the names of what they belong to.
        about = {digest.replace(":", "-") for digest in (*image.manifests, *image.lists)} | {*image.tags, *image.lists}
        tagged = any((image.repository, tag) in outcome.tags for tag in about)
        if image.waits:
            status = "waiting"
        elif name in outcome.problems or (not served and not check_mode):
            status = "failed"
        else:
            status = "unchanged" if plan.is_done(image) and not tagged else "pushed"
        images.append(
            {
                "name": name,
                "repository": image.repository,
                "tag": image.tag or image.keep,
                "digest": image.image.digest,
                "served": served,
                "status": status,
                "waits_for": image.waits,
                "problem": outcome.problems.get(name, ""),
                **sizes,
            }
        )
    before = {f"{name}:{tag}": plan.found.tags.get((name, tag), "") for name, tag in sorted(outcome.tags)}
    after = {f"{name}:{tag}": digest for (name, tag), digest in sorted(outcome.tags.items())}
    return {
        "changed": outcome.changed,
        "images": images,
        "complete": all(one["status"] in ("pushed", "unchanged") for one in images),
        "totals": {**totals, "manifests": outcome.manifests, "tags": len(outcome.tags)},
        "diff": {"before": {one: digest for one, digest in before.items() if digest}, "after": after},
    }


def _judge(session: Session, result: Mapping[str, t.Any], outcome: Outcome) -> None:
    failed = [one for one in result["images"] if one["status"] == "failed"]
    if not failed and not outcome.fatal:
        return
    reasons = [f"{one['name']}: {one['problem'] or 'not reached'}" for one in failed]
    shown = "; ".join(reasons[:_SHOWN]) + (f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else "")
    why = f"{outcome.fatal}. " if outcome.fatal else ""
    count = f"{len(failed)} of {len(result['images'])} images are not verified"
    remedy = "Run it again when the cause is gone: it goes on where it stopped."
    raise PushFailed(session.base, f"{why}{count}: {shown}", remedy, result)


def _looks_old(session: Session, repositories: list[str]) -> bool:
    """Tell whether the server is of the 2.8 line, which alone takes a negative number of entries for a wish."""
    for name in repositories[:1]:
        path = f"/v2/{name}/tags/list?n=-1"
        try:
            with session.request(
                "ask what server it is", "GET", path, scope=pull(name), expect=(200, 400, 404)
            ) as response:
                return response.status == 200 and "Docker-Distribution-Api-Version" in response.headers
        except RegistryError:
            return False
    return False
