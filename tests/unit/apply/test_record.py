# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""The text of the inventory record."""

from __future__ import annotations

import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _apply_record as record
from ansible_collections.homeport.registry.plugins.module_utils._apply_changed import Mark
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import KNOWN, NAMESPACE, Resource

DEPLOYMENT = record.Member(
    KNOWN["apps/v1", "Deployment"], "n", "web", "uid-1", Mark("2030-01-01T00:00:00Z", "7", 2, "d")
)
PLACE = record.Member(NAMESPACE, "", "n", "uid-2", Mark(None, "8", None, None))
WIDGET = record.Member(
    Resource("example.com", "v1", "Widget", "widgetry", True), "n", "w", "uid-3", Mark(None, "9", 1, "e")
)


def test_round_trip() -> None:
    place = record.reference("front", "n")
    assert place.path == "/api/v1/namespaces/n/configmaps/homeport-front"
    document = record.compose(place, "front", [DEPLOYMENT, PLACE, WIDGET])
    assert document["metadata"]["labels"]["registry.homeport.dev/record"] == "front"
    found = record.read_members(document, place.label)
    assert found == {member.key: member for member in (DEPLOYMENT, PLACE, WIDGET)}


def test_order_does_not_matter() -> None:
    place = record.reference("front", "n")
    assert record.compose(place, "front", [DEPLOYMENT, PLACE]) == record.compose(place, "front", [PLACE, DEPLOYMENT])


def test_no_record_has_no_members() -> None:
    assert record.read_members(None, "x") == {}
    assert record.read_members({"data": None}, "x") == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"api_version": "v1"}', "7"])
def test_damaged_record(text: str) -> None:
    with pytest.raises(ApplyError, match="ConfigMap n/homeport-x cannot be read"):
        record.read_members({"data": {"objects": text}}, "ConfigMap n/homeport-x")


def test_entries_without_marks_are_members_all_the_same() -> None:
    entry = json.loads(DEPLOYMENT.to_line())
    for name in ("time", "version", "generation", "digest"):
        del entry[name]
    found = record.read_members({"data": {"objects": json.dumps(entry)}}, "x")
    assert found[DEPLOYMENT.key].mark == Mark(None, None, None, None)


def test_same_members() -> None:
    moved = record.Member(DEPLOYMENT.resource, "n", "web", "uid-1", Mark("later", "9", 3, "x"))
    replaced = record.Member(DEPLOYMENT.resource, "n", "web", "uid-9", DEPLOYMENT.mark)
    old = {DEPLOYMENT.key: DEPLOYMENT}
    assert record.same_members(old, {moved.key: moved})
    assert not record.same_members(old, {replaced.key: replaced})
    assert not record.same_members(old, {})
