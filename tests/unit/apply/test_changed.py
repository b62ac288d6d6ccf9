# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Created, updated or unchanged, from every answer that a server can give."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _apply_changed as changed
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import Answer

NOW = "2030-01-01T00:00:10Z"
NOW_SECONDS = 1893456010
BEFORE = "2030-01-01T00:00:05Z"


def document(time: str | None, version: str = "7", generation: int | None = None, **more: Any) -> dict[str, Any]:
    """Return an object with an entry of ours and one of others."""
    ours: dict[str, Any] = {"manager": "homeport", "operation": "Apply", "fieldsV1": {"f:data": {}}}
    if time is not None:
        ours["time"] = time
    entries = [
        {"manager": "homeport", "operation": "Update", "time": "2031-01-01T00:00:00Z"},
        {"manager": "homeport", "operation": "Apply", "subresource": "scale", "time": "2031-01-01T00:00:00Z"},
        {"manager": "other", "operation": "Apply", "time": "2031-01-01T00:00:00Z"},
        ours,
    ]
    metadata: dict[str, Any] = {
        "resourceVersion": version,
        "managedFields": entries,
        "creationTimestamp": BEFORE,
        **more,
    }
    if generation is not None:
        metadata["generation"] = generation
    return {"metadata": metadata}


def test_only_our_own_apply_entry_counts() -> None:
    assert changed.own_time(document(NOW), "homeport") == NOW
    assert changed.own_time(document(NOW), "nobody") is None
    assert changed.own_entry({"metadata": {}}, "homeport") == {}


KNOWN = changed.Mark(NOW, "7", None, "digest")


@pytest.mark.parametrize(
    ("status", "time", "earliest", "expected"),
    [
        (201, NOW, NOW_SECONDS, "created"),
        (200, NOW, NOW_SECONDS, "updated"),
        (200, NOW, NOW_SECONDS - 1, "updated"),
        (200, BEFORE, NOW_SECONDS, "unchanged"),
        (200, None, NOW_SECONDS, "unchanged"),
        (200, NOW, None, "updated"),
    ],
    ids=["new", "changed", "second boundary", "older time", "adopted", "no date"],
)
def test_without_an_earlier_mark(status: int, time: str | None, earliest: int | None, expected: str) -> None:
    answer = Answer(status, document(time), earliest, retried=False)
    now = changed.mark(answer.body, {"kind": "ConfigMap"}, "homeport")
    assert changed.verdict(answer, now, None, "ConfigMap") == expected


@pytest.mark.parametrize(
    ("now", "known", "kind", "expected"),
    [
        (KNOWN, KNOWN, "ConfigMap", "unchanged"),
        (KNOWN, changed.Mark(BEFORE, "5", None, "digest"), "ConfigMap", "updated"),
        (KNOWN, changed.Mark(NOW, "5", None, "other"), "ConfigMap", "updated"),
        (KNOWN, changed.Mark(NOW, "5", None, "digest"), "ConfigMap", "updated"),
        (KNOWN, changed.Mark(NOW, "5", None, "digest"), "PersistentVolumeClaim", "unchanged"),
        (KNOWN, changed.Mark(NOW, "5", None, "other"), "PersistentVolumeClaim", "updated"),
        (changed.Mark(NOW, "7", 2, "d"), changed.Mark(NOW, "5", 2, "d"), "Deployment", "unchanged"),
        (changed.Mark(NOW, "7", 3, "d"), changed.Mark(NOW, "5", 2, "d"), "Deployment", "updated"),
        (changed.Mark(NOW, "7", None, None), changed.Mark(NOW, "5", None, None), "Secret", "updated"),
        (changed.Mark(NOW, "7", None, None), changed.Mark(NOW, "7", None, None), "Secret", "unchanged"),
    ],
    ids=[
        "same version",
        "time moved",
        "other intent in the same second",
        "drift in the same second",
        "status of a claim",
        "other intent for a claim",
        "status of a deployment",
        "drift of a deployment",
        "secret written in the same second",
        "secret left alone",
    ],
)
def test_with_an_earlier_mark(now: changed.Mark, known: changed.Mark, kind: str, expected: str) -> None:
    answer = Answer(200, document(now.time), NOW_SECONDS, retried=False)
    assert changed.verdict(answer, now, known, kind) == expected


def test_a_record_that_missed_a_change_makes_none() -> None:
    answer = Answer(200, document(BEFORE), NOW_SECONDS, retried=False)
    now = changed.mark(answer.body, {"kind": "ConfigMap"}, "homeport")
    stale = changed.Mark("2029-01-01T00:00:00Z", "1", None, "old")
    assert changed.verdict(answer, now, stale, "ConfigMap") == "unchanged"


@pytest.mark.parametrize(("created", "expected"), [(NOW, "created"), (BEFORE, "updated")])
def test_the_answer_to_the_first_attempt_was_lost(created: str, expected: str) -> None:
    answer = Answer(200, document(NOW, creationTimestamp=created), NOW_SECONDS, retried=True)
    now = changed.mark(answer.body, {"kind": "ConfigMap"}, "homeport")
    assert changed.verdict(answer, now, None, "ConfigMap") == expected


def test_marks_of_secrets_hold_no_digest() -> None:
    one = changed.mark(document(NOW), {"kind": "ConfigMap", "data": {"a": "1"}}, "homeport")
    two = changed.mark(document(NOW), {"kind": "ConfigMap", "data": {"a": "2"}}, "homeport")
    assert one.digest is not None
    assert one.digest != two.digest
    assert changed.mark(document(NOW), {"kind": "Secret", "data": {"a": "1"}}, "homeport").digest is None


@pytest.mark.parametrize(("text", "expected"), [(NOW, NOW_SECONDS), (None, None), ("", None), ("soon", None)])
def test_times(text: str | None, expected: int | None) -> None:
    assert changed.seconds(text) == expected
