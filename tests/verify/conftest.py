# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of these tests."""

from __future__ import annotations

from tests.verify.fixtures import (
    account,
    client,
    clients,
    cluster,
    host_aliases,
    playbooks,
    pytest_sessionfinish,
    reader,
    registry,
    scraper,
    writer,
)

__all__ = [
    "account",
    "client",
    "clients",
    "cluster",
    "host_aliases",
    "playbooks",
    "pytest_sessionfinish",
    "reader",
    "registry",
    "scraper",
    "writer",
]
