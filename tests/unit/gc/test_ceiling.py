# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much one collection may free."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _gc_ceiling as ceiling
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Ceiling
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected
from ansible_collections.homeport.registry.plugins.module_utils._gc_store import Scan

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")
# Four blobs, of which C and D would go.
PLAN = Collected(marked={A, B}, blobs={C, D}, links={"team/app": {C}}, counts=(2, 2, 0))
OLD_PLAN = Collected(marked={A, B}, blobs={C, D}, counts=(2, 2, 0))
STORE = Scan(
    sizes={A: 1000, B: 500, C: 40, D: 2},
    revisions={"team/app": {A}, "release/1": set()},
    layers={"team/app": {B, C}, "release/1": {D}},
)


@pytest.mark.parametrize(
    ("plan", "limits", "store", "names_links", "says"),
    [
        (PLAN, Ceiling(50.0), STORE, True, None),
        (PLAN, Ceiling(49.9), STORE, True, "50.0 % of all blobs"),
        (PLAN, Ceiling(50.0), None, True, None),
        (PLAN, Ceiling(49.9), None, True, "50.0 % of all blobs"),
        (PLAN, Ceiling(100.0, 42), STORE, True, None),
        (PLAN, Ceiling(100.0, 41), STORE, True, "42 bytes would go"),
        (PLAN, Ceiling(100.0, 41), None, True, "does not tell how many bytes"),
        (PLAN, Ceiling(100.0, None, ("other/*",)), STORE, True, None),
        (PLAN, Ceiling(100.0, None, ("team/*",)), None, True, "lose something: team/app"),
        (OLD_PLAN, Ceiling(100.0, None, ("team/*",)), STORE, False, "lose something: team/app"),
        (OLD_PLAN, Ceiling(100.0, None, ("release/*", "x")), STORE, False, "lose something: release/1"),
        (OLD_PLAN, Ceiling(100.0, None, ("release/*",)), None, False, "does not tell which repositories"),
        (Collected(counts=(0, 0, 0)), Ceiling(0.0, 0, ("*",)), Scan(), True, None),
    ],
)
def test_the_ceiling(plan, limits, store, names_links, says):
    if says is None:
        assert ceiling.check(plan, limits, store, names_links=names_links)["blobs"] == len(plan.blobs)
        return
    with pytest.raises(RefusedError) as caught:
        ceiling.check(plan, limits, store, names_links=names_links)
    assert says in caught.value.got


def test_every_reason_is_said_at_once():
    with pytest.raises(RefusedError) as caught:
        ceiling.check(PLAN, Ceiling(1.0, 1, ("team/app",)), STORE, names_links=True)
    assert caught.value.got.count(";") == 2


def test_what_would_go_is_measured():
    expected = {"blobs": 2, "manifests": 0, "links": 1, "share": 50.0, "bytes": 42}
    assert ceiling.measure(PLAN, STORE) == expected
    assert ceiling.measure(PLAN, None) == expected | {"bytes": None}
