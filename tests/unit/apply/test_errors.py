# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""One sentence for each kind of refusal."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import explain
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiError


def refusal(status: int, message: str = "", reason: str = "", **details: Any) -> ApiError:
    """Return the error for a Status object."""
    return ApiError("PATCH", "/x", status, {"message": message, "reason": reason, "details": details})


def conflict(owner: str, field: str) -> dict[str, str]:
    """Return the cause of a conflict over one field."""
    return {"reason": "FieldManagerConflict", "message": f'conflict with "{owner}" using apps/v1', "field": field}


def cause(field: str, message: str) -> dict[str, str]:
    """Return the cause of an invalid field."""
    return {"reason": "FieldValueInvalid", "field": field, "message": message}


JANE = 'deployments.apps "web" is forbidden: User "jane"'
TAKE_OVER = "Leave the field out, or take it over with force_conflicts: true"
KEEP = "Keep the old value, or delete the object first"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal(401, "Unauthorized"), "the API server does not accept the credentials (401 Unauthorized)"),
        (
            refusal(404, 'namespaces "x" not found', name="x", kind="namespaces"),
            "namespace x does not exist; create it first, or add a Namespace object to the same task",
        ),
        (
            refusal(404, "the server could not find the requested resource"),
            "this cluster does not serve Widget (example.com/v1); is its CustomResourceDefinition installed?",
        ),
        (
            ApiError("PATCH", "/x", 404, "404 page not found"),
            "this cluster does not serve Widget (example.com/v1); is its CustomResourceDefinition installed?",
        ),
        (
            refusal(403, f'{JANE} cannot patch resource "deployments" in API group "apps" in the namespace "shop"'),
            "forbidden: user jane may not patch deployments.apps in namespace shop",
        ),
        (
            refusal(403, f'{JANE} cannot get resource "namespaces" in API group "" at the cluster scope'),
            "forbidden: user jane may not get namespaces at cluster scope",
        ),
        (refusal(403, "exceeded quota: small"), "forbidden: exceeded quota: small"),
        (
            refusal(403, causes=[{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated"}]),
            "namespace shop is being deleted; wait until it is gone and run again",
        ),
        (
            refusal(409, causes=[conflict("a", ".spec.replicas"), conflict("a", ".x"), conflict("b", ".y")]),
            f"conflict: spec.replicas, x belongs to a; y belongs to b. {TAKE_OVER}",
        ),
        (refusal(409, "precondition failed"), "conflict: precondition failed"),
        (
            refusal(500, "failed to create typed patch object (n/x): .spec.replica: field not declared in schema"),
            "unknown field spec.replica; check its spelling and the API version",
        ),
        (
            refusal(400, 'strict decoding error: unknown field "spec.a", unknown field "spec.b"'),
            "unknown field spec.a, spec.b; check its spelling and the API version",
        ),
        (
            refusal(422, causes=[cause("spec.selector", "Invalid value: v1.Selector{A:1}: field is immutable")]),
            f"invalid: spec.selector cannot be changed on an existing object (field is immutable). {KEEP}",
        ),
        (
            refusal(422, causes=[cause("spec", "Forbidden: spec is immutable after creation")]),
            "invalid: spec cannot be changed on an existing object (Forbidden: spec is immutable after creation). "
            + KEEP,
        ),
        (
            refusal(422, causes=[cause("metadata.name", 'Invalid value: "A": must be lower case')]),
            'invalid: metadata.name: Invalid value: "A": must be lower case',
        ),
        (refusal(422, "no causes"), "invalid: no causes"),
        (refusal(500, "boom"), "the API server answered 500: boom"),
        (ApiError("PATCH", "/x", 502, ""), "the API server answered 502: no explanation"),
    ],
)
def test_explain(error: ApiError, expected: str) -> None:
    assert explain(error, "Widget", "example.com/v1") == expected
