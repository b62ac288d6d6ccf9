# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer of 3 GiB that takes longer than a minute. The push goes on while the files before this one run."""

from __future__ import annotations

from tests.verify.routed import SlowPush


def test_a_slow_push_is_not_cut(slow_push: SlowPush) -> None:
    """HOMEPORT_SLOW_MIB and HOMEPORT_SLOW_SECONDS make it another size and another time."""
    slow_push.check()
