# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Platforms, as images name them. Private."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping, Sequence

ALL = "all"
_WORDS = re.compile(r"[a-z0-9]+/[a-z0-9]+(?:/[a-z0-9.]+)?")
# The variant that is meant where none is named.
_USUAL = {("arm64", "v8"), ("arm", "v7"), ("amd64", "v1")}
_OTHER_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armhf": "arm"}


def parse_platform(text: str) -> str:
    """Return a platform in its usual spelling, `linux/arm64/v8` as `linux/arm64`.

    Raises:
        ValueError: when it is none.
    """
    if not _WORDS.fullmatch(text.replace("x86_64", "amd64")):
        raise ValueError(f"{ascii(text)[:60]} is no platform such as linux/amd64")
    system, machine, *variant = text.split("/")
    return _spelled(system, machine, variant[0] if variant else "")


def platform_of(source: t.Any) -> str | None:
    """Return the platform that an index or a configuration names, or nothing where it names none.

    Raises:
        TypeError: when it is no JSON object.
    """
    if source is None:
        return None
    if not isinstance(source, Mapping):
        raise TypeError("the platform is no object")
    system, machine = str(source.get("os") or ""), str(source.get("architecture") or "")
    if not system or not machine or "unknown" in (system, machine):
        return None
    return _spelled(system, machine, str(source.get("variant") or ""))


def is_wanted(platform: str, wanted: Sequence[str]) -> bool:
    """Tell whether a platform is among the wanted ones; one without a variant stands for the usual variant."""
    return ALL in wanted or platform in wanted


def _spelled(system: str, machine: str, variant: str) -> str:
    machine = _OTHER_NAMES.get(machine, machine)
    usual = not variant or (machine, variant) in _USUAL
    return f"{system}/{machine}" if usual else f"{system}/{machine}/{variant}"
