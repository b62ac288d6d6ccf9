# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures."""

from __future__ import annotations

import pytest

from tests.verify.playbooks import Playbooks
from tests.verify.routed import authority, client, playbooks_of, registry, slow_push

__all__ = ["authority", "client", "registry", "slow_push"]


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return playbooks_of("ingress")
