# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Which part of an object a diff shows."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _apply_diff as diff
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Reference
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import CONFIG_MAP, SECRET

PORTS = [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]


@pytest.mark.parametrize(
    ("value", "fields", "expected"),
    [
        ({"a": 1, "b": 2}, {"f:a": {}}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"f:a": {"f:b": {}}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"f:a": {".": {}, "f:b": {}}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"f:a": {".": {}}}, {"a": {}}),
        ({"a": {"b": 1}}, {"f:a": {}}, {"a": {"b": 1}}),
        ({"a": 1}, {"f:gone": {}}, {}),
        (PORTS, {'k:{"containerPort":53,"protocol":"UDP"}': {}}, [PORTS[1]]),
        ([{"containerPort": 80}], {'k:{"containerPort":80,"protocol":"TCP"}': {}}, [{"containerPort": 80}]),
        (
            [{"name": "a", "x": 1, "y": 2}],
            {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:x": {}}},
            [{"name": "a", "x": 1}],
        ),
        (["one", "two"], {'v:"two"': {}}, ["two"]),
        (["one", "two"], {"i:0": {}}, ["one"]),
        ("text", {"f:a": {}}, "text"),
    ],
)
def test_project(value: Any, fields: dict[str, Any], expected: Any) -> None:
    assert diff.project(value, fields) == expected


def test_merge_fields() -> None:
    one: dict[str, Any] = {"f:a": {"f:b": {}}, "f:c": {}}
    other: dict[str, Any] = {"f:a": {"f:d": {}}}
    assert diff.merge_fields(one, other) == {"f:a": {"f:b": {}, "f:d": {}}, "f:c": {}}
    assert one == {"f:a": {"f:b": {}}, "f:c": {}}


def stored(fields: dict[str, Any], **content: Any) -> dict[str, Any]:
    """Return an object as a server returns it."""
    entry = {"manager": "homeport", "operation": "Apply", "fieldsV1": fields}
    return {"metadata": {"name": "x", "uid": "u", "managedFields": [entry]}, **content}


def test_fields_that_leave_are_shown() -> None:
    before = stored({"f:data": {"f:a": {}, "f:b": {}}}, data={"a": "1", "b": "2", "theirs": "3"})
    after = stored({"f:data": {"f:a": {}}}, data={"a": "1", "theirs": "3"})
    shown = diff.entry(Reference(CONFIG_MAP, "n", "x"), before, after, "homeport")
    assert shown is not None
    assert shown["before"] == "data:\n  a: '1'\n  b: '2'\nmetadata:\n  name: x\n"
    assert shown["after"] == "data:\n  a: '1'\nmetadata:\n  name: x\n"
    assert shown["before_header"] == "ConfigMap n/x"


def test_no_difference_is_no_entry() -> None:
    same = stored({"f:data": {"f:a": {}}}, data={"a": "1"})
    assert diff.entry(Reference(CONFIG_MAP, "n", "x"), same, {**same, "status": {"x": 1}}, "homeport") is None


@pytest.mark.parametrize(
    ("before", "after", "shown_before", "shown_after"),
    [
        ({"a": "1"}, {"a": "1"}, {"a": diff.HIDDEN}, {"a": diff.HIDDEN}),
        ({"a": "1"}, {"a": "2"}, {"a": diff.HIDDEN_BEFORE}, {"a": diff.HIDDEN_AFTER}),
        ({}, {"a": "2"}, None, {"a": diff.HIDDEN}),
        ({"a": "1"}, {}, {"a": diff.HIDDEN}, None),
    ],
    ids=["equal", "different", "added", "removed"],
)
def test_secret_values_are_hidden(
    before: dict[str, str], after: dict[str, str], shown_before: Any, shown_after: Any
) -> None:
    old, new = diff.mask_secret({"data": before, "type": "Opaque"}, {"data": after, "stringData": {"b": "leak"}})
    assert (old or {}).get("data") == shown_before
    assert (new or {}).get("data") == shown_after
    assert (old or {})["type"] == "Opaque"
    assert "leak" not in str(new)


def test_new_and_removed_secrets() -> None:
    document = stored({"f:data": {"f:a": {}}}, data={"a": "c2VjcmV0"})
    place = Reference(SECRET, "n", "x")
    for before, after in ((None, document), (document, None)):
        shown = diff.entry(place, before, after, "homeport")
        assert shown is not None
        assert "c2VjcmV0" not in str(shown)
        assert diff.HIDDEN in str(shown)


def test_what_no_server_has_seen_is_shown_whole() -> None:
    shown = diff.entry(
        Reference(CONFIG_MAP, "n", "x"),
        None,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}},
        "homeport",
    )
    assert shown is not None
    assert shown["before"] == ""
    assert shown["after"] == "data:\n  a: '1'\nmetadata:\n  name: x\n"
