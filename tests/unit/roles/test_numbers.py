# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers stay numbers in what is sent, also on releases of ansible-core whose variables turn them into texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.rendering import render

NUMBERS = re.compile(r"(Seconds|Threshold|Limit|replicas|[pP]ort|containerPort|nodePort|runAsUser|runAsGroup|fsGroup)$")
# A probe's port may be the name of one.
NAMED = {"httpGet", "tcpSocket"}
CASES = {
    "registry_server": ("server.yml.j2", {}),
    "registry_gc": ("collector.yml.j2", {}),
    "registry_cache": ("cache.yml.j2", {"registry_cache_upstream": "https://registry.example.org"}),
}


def texts(value: Any, parent: str = "") -> Iterator[str]:
    """Yield the fields that should hold a number and hold a text."""
    if isinstance(value, dict):
        for key, item in value.items():
            named = key == "targetPort" or (key == "port" and parent in NAMED)
            if isinstance(item, str) and NUMBERS.search(key) and not named:
                yield f"{parent}.{key}: {item!r}"
            yield from texts(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, parent)


@pytest.mark.parametrize("role", CASES)
def test_numbers_are_numbers(tmp_path: Path, role: str) -> None:
    template, variables = CASES[role]
    documents = render(tmp_path, role, template, variables)
    assert len(documents) > 3
    assert list(texts(documents)) == []
