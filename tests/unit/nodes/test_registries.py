# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which registries and mirrors the nodes of an inventory shall trust."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.node_registries import node_registries

SETTINGS: dict[str, Any] = {
    "registries": [],
    "mirrors": [],
    "ca_certificates": ["CA"],
    "state": "present",
    "apply_via": "ssh",
    "cache_mirrors": True,
    "cluster_authorities": True,
}
REACHED = {"registry_ingress_exposure": "ingress", "registry_ingress_tls": "provided"}


def host(name: str, **variables: Any) -> dict[str, Any]:
    return {"inventory_hostname": name, **variables}


def hub(name: str, upstream: str = "https://registry-1.docker.io", **variables: Any) -> dict[str, Any]:
    return host(name, registry_cache_upstream=upstream, **REACHED, **variables)


def entry(name: str, *authorities: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "ca_certificates": list(authorities), **more}


OTHER = entry("other.example", "OTHER")
LED = [{"upstream": "quay.io", "name": "a.example", "path": "quay.io"}]

# Hosts, settings, what is trusted, and what is a mirror.
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "nothing": ([], {}, [], []),
    "sorted, once": (
        [host("b.example"), host("inside", registry_host="a.example:5000"), host("again", registry_host="b.example")],
        {},
        [entry("a.example:5000", "CA"), entry("b.example", "CA")],
        [],
    ),
    "given": ([host("a.example")], {"registries": [OTHER]}, [OTHER], []),
    "given without authority": ([], {"registries": [{"name": "x.example"}]}, [entry("x.example", "CA")], []),
    "gone": ([host("a.example")], {"state": "absent"}, [entry("a.example", "CA", state="absent")], []),
    "cache": ([hub("h.example")], {}, [entry("h.example", "CA")], [entry("h.example", "CA", upstream="docker.io")]),
    "cache with a port and a path": (
        [hub("h.example", "http://up.example:5000/x")],
        {},
        [entry("h.example", "CA")],
        [entry("h.example", "CA", upstream="up.example:5000")],
    ),
    "cache with accounts": (
        [hub("h.example", registry_auth_users=[{"name": "a"}])],
        {},
        [entry("h.example", "CA")],
        [],
    ),
    "cache with a list of none": (
        [hub("h.example", registry_auth_users=[])],
        {},
        [entry("h.example", "CA")],
        [entry("h.example", "CA", upstream="docker.io")],
    ),
    "unwanted cache": ([hub("h.example")], {"cache_mirrors": False}, [entry("h.example", "CA")], []),
    "two caches": (
        [hub("a.example"), hub("b.example")],
        {},
        [entry("a.example", "CA"), entry("b.example", "CA")],
        [entry("b.example", "CA", upstream="docker.io")],
    ),
    "mirror that was given": (
        [hub("h.example")],
        {"mirrors": [{"upstream": "docker.io", "name": "m.example"}]},
        [entry("h.example", "CA")],
        [{"upstream": "docker.io", "name": "m.example"}],
    ),
    "bundle": (
        [host("a.example", __registry_airgap_leads=LED)],
        {},
        [entry("a.example", "CA")],
        [entry("a.example", "CA", upstream="quay.io", path="quay.io")],
    ),
    "bundle beside a cache": (
        [host("a.example", __registry_airgap_leads=LED), hub("h.example", "https://quay.io")],
        {},
        [entry("a.example", "CA"), entry("h.example", "CA")],
        [entry("h.example", "CA", upstream="quay.io")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_nodes_trust_what_the_inventory_holds(case: str) -> None:
    hosts, settings, registries, mirrors = CASES[case]
    found = node_registries(hosts, {**SETTINGS, **settings})
    assert found["registries"] == registries
    assert found["mirrors"] == mirrors


@pytest.mark.parametrize("missing", [{"registry_ingress_exposure": "none"}, {"registry_ingress_tls": "none"}])
def test_a_cache_that_nodes_cannot_use_is_no_mirror(missing: dict[str, str]) -> None:
    assert node_registries([{**hub("h.example"), **missing}], SETTINGS)["mirrors"] == []


def test_what_was_read_goes_before_what_was_given() -> None:
    hosts = [host("a.example"), host("in", registry_host="b.example"), host("c.example")]
    read = {
        "a.example": [{"data": {"ca.crt": "A"}}],
        "in": [{"data": {"about": "x"}}],
        "c.example": [],
    }
    assert node_registries(hosts, SETTINGS, read)["registries"] == [
        entry("a.example", "A"),
        entry("b.example"),
        entry("c.example", "CA"),
    ]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, ["a.example"]),
        ({"cluster_authorities": False}, []),
        ({"ca_certificates": ["CA"]}, []),
        ({"registries": [OTHER]}, []),
        ({"state": "absent"}, []),
        ({"state": "absent", "apply_via": "daemonset"}, ["a.example"]),
    ],
)
def test_authorities_are_read_where_nobody_gave_any(settings: dict[str, Any], found: list[str]) -> None:
    hosts = [host("a.example", registry_ingress_tls="self_signed"), host("b.example")]
    assert node_registries(hosts, {**SETTINGS, "ca_certificates": [], **settings})["selfmade"] == found


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="node_registries: upstream is missing"):
        node_registries([], {**SETTINGS, "mirrors": [{"name": "a.example"}]})
