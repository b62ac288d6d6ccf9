# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Which requests reach the API server, counted by a relay in front of it, and what happens when they go wrong."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, config_map, deployment, secret
from tests.lab.apply.relay import Relay, Seen, Spoiled

EVERYTHING = [config_map(), secret(), deployment()]


def test_no_op_writes_nothing_and_costs_one_request_an_object(relay: Relay, relayed: Applier) -> None:
    relayed(*EVERYTHING, record="record")
    time.sleep(2.1)
    relay.seen.clear()
    result = relayed(*EVERYTHING, record="record")
    assert not result["changed"]
    assert Counter(seen.method for seen in relay.seen) == {"GET": 1, "PATCH": 3}
    assert result["requests"] == 4
    assert 0 < result["duration"] < 10
    assert all(seen.path.endswith("/homeport-record") for seen in relay.seen if seen.method == "GET")


def test_without_a_record_the_state_is_read_first(relay: Relay, relayed: Applier) -> None:
    relayed(*EVERYTHING)
    relay.seen.clear()
    result = relayed(*EVERYTHING)
    assert not result["changed"]
    assert [seen.method for seen in relay.seen] == ["GET"] * 3 + ["PATCH"] * 3


def test_no_op_with_readiness_costs_nothing_more(relay: Relay, relayed: Applier, kubectl: Kubectl) -> None:
    relayed(deployment(replicas=0), record="record")
    # a bare API server has no controller that would say so
    kubectl(
        "patch",
        "deployment",
        "web",
        "--subresource=status",
        "--type=merge",
        '--patch={"status":{"observedGeneration":1}}',
    )
    relay.seen.clear()
    relayed(deployment(replicas=0), record="record", wait=True)
    # one wave: the two go out together, in any order
    assert sorted(seen.method for seen in relay.seen) == ["GET", "PATCH"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_writes_nothing(relay: Relay, relayed: Applier, kubectl: Kubectl, state: str) -> None:
    relayed(config_map("leaver"), config_map(a="1"), record="record")
    before = kubectl("get", "configmap,secret,deployment", "--output=json")
    relay.seen.clear()
    result = relayed(config_map(a="2"), secret(), deployment(), record="record", state=state, check_mode=True)
    assert result["changed"]
    assert relay.writes() == []
    assert {seen.method for seen in relay.seen} >= ({"PATCH", "DELETE"} if state == "present" else {"DELETE"})
    assert kubectl("get", "configmap,secret,deployment", "--output=json") == before


def test_check_mode_tells_the_same_as_the_run(relay: Relay, relayed: Applier) -> None:
    relayed(config_map("leaver"), config_map(a="1"), record="record")
    time.sleep(2.1)
    wanted = [config_map(a="2"), secret()]
    for state in ("present", "absent"):
        told = relayed(*wanted, record="record", state=state, check_mode=True, diff=True)
        done = relayed(*wanted, record="record", state=state, diff=True)
        for key in ("objects", "actions", "changed", "record", "diff"):
            assert told[key] == done[key]


def test_every_write_carries_the_manager_and_strict_validation(relay: Relay, relayed: Applier) -> None:
    relayed(config_map(), field_manager="someone")
    patch = next(seen for seen in relay.seen if seen.method == "PATCH")
    assert patch.query == {"fieldManager": ["someone"], "fieldValidation": ["Strict"]}


def test_wave_is_parallel_and_bounded(relay: Relay, relayed: Applier) -> None:
    relay.delay = 0.05
    relayed(*(config_map(f"config-{number}") for number in range(20)), connections=4)
    assert relay.peak == 4
    relayed(*(config_map(f"config-{number}") for number in range(20)), connections=30)
    assert 10 < relay.peak <= 20


@pytest.mark.parametrize("status", [429, 503])
def test_throttling_is_retried_after_the_asked_pause(relay: Relay, relayed: Applier, status: int) -> None:
    failed: list[float] = []

    def throttle(seen: Seen) -> Spoiled | None:
        if seen.method == "PATCH" and len(failed) < 2:
            failed.append(time.monotonic())
            body = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down", "code": status}
            return Spoiled(status, (("Retry-After", "1"),), body)
        return None

    relay.spoil = throttle
    started = time.monotonic()
    assert actions(relayed(config_map())) == {"ConfigMap/config": "created"}
    assert time.monotonic() - started >= 2
    assert len(failed) == 2


def test_throttling_is_not_retried_for_ever(relay: Relay, relayed: Applier) -> None:
    relay.spoil = lambda seen: Spoiled(429, (("Retry-After", "0"),), {"reason": "TooManyRequests", "message": "never"})
    error = relayed.fails(config_map())
    assert "429" in error.message
    assert "never" in error.message
    assert [seen.method for seen in relay.seen].count("PATCH") == 6


def first_patch(relay: Relay, seen: Seen) -> bool:
    """Tell whether this is the first apply that the relay sees."""
    return seen.method == "PATCH" and [other.method for other in relay.seen].count("PATCH") == 1


def test_lost_answer_is_a_creation_all_the_same(relay: Relay, relayed: Applier) -> None:
    relayed(config_map("warm"))
    relay.seen.clear()
    relay.spoil = lambda seen: Spoiled(0, after=True) if first_patch(relay, seen) else None
    assert actions(relayed(config_map())) == {"ConfigMap/config": "created"}
    assert [seen.method for seen in relay.seen] == ["GET", "PATCH", "PATCH"]


def test_connection_loss_before_the_server_sees_it_is_retried(relay: Relay, relayed: Applier) -> None:
    relay.spoil = lambda seen: Spoiled(0) if first_patch(relay, seen) else None
    assert actions(relayed(config_map())) == {"ConfigMap/config": "created"}


def test_failing_webhook_is_retried(relay: Relay, relayed: Applier) -> None:
    def fail(seen: Seen) -> Spoiled | None:
        message = 'Internal error occurred: failed calling webhook "x": connection refused'
        body = {"kind": "Status", "reason": "InternalError", "message": message, "code": 500}
        return Spoiled(500, (), body) if first_patch(relay, seen) else None

    relay.spoil = fail
    assert actions(relayed(config_map())) == {"ConfigMap/config": "created"}


def test_impersonation_reaches_the_server(relay: Relay, relayed: Applier) -> None:
    error = relayed.fails(config_map(), impersonate_user="jane", impersonate_groups=["system:authenticated", "dev"])
    assert "user jane may not patch configmaps in namespace" in error.message
    assert relay.seen[0].headers["Impersonate-User"] == "jane"
    assert relay.seen[0].headers["Impersonate-Group"] == "system:authenticated, dev"


def test_token_stays_out_of_everything(relay: Relay, relayed: Applier) -> None:
    token = "very-secret-token-0123456789"
    error = relayed.fails(config_map(), api_key=token, kubeconfig=None, host="http://127.0.0.1:9")
    assert token not in error.message
    assert "cannot be reached" in error.message
