# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures."""

from __future__ import annotations

import pytest

from tests.verify.playbooks import Playbooks
from tests.verify.routed import playbooks_of
from tests.verify.storm.conftest import address, collect, make_storm

__all__ = ["address", "collect", "make_storm"]


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return playbooks_of("access")
