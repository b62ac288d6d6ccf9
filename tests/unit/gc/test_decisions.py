# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options document, and decisions that need no cluster."""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _gc_report as report
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import stamp, state_of
from ansible_collections.homeport.registry.plugins.module_utils._fence_writers import lingering, ready, wanted
from ansible_collections.homeport.registry.plugins.module_utils._gc_child import config, version_of
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import fatal_in_inventory, fatal_in_store
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import OptionsError, parse
from ansible_collections.homeport.registry.plugins.module_utils._gc_store import check_identity
from ansible_collections.homeport.registry.plugins.module_utils._kube_collection import job_from, summary_of, verdict
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Problem

OPTIONS = {
    "registry": "depot",
    "namespace": "n",
    "storage": {"filesystem": {"rootdirectory": "/var/lib/registry"}},
    "permit": {"metadata": {"name": "depot-write-permit"}},
    "writer_selector": "app=writer",
}
NOW = 1_800_000_000.0


def test_options_have_names_by_the_registry():
    options = parse(json.dumps({**OPTIONS, "ceiling": {"share": 5, "bytes": 10, "protected": ["a/*"]}}))
    assert (options.lease, options.writer, options.report) == ("depot-exclusive", "depot-writer", "depot-gc-report")
    assert options.root == "/var/lib/registry"
    assert options.ceiling.protects("a/b/c")
    assert not options.ceiling.protects("b/a/c")
    assert parse(json.dumps({**OPTIONS, "storage": {"s3": {"bucket": "b"}}})).root is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"untagged": "remove"}, "untagged is 'remove'"),
        ({"depth": "deep"}, "depth is 'deep'"),
        ({"deadline": 0}, "deadline is 0"),
        ({"threads": "8"}, "threads is '8'"),
        ({"colour": "red"}, "colour"),
        ({"ceiling": {"share": 101}}, "ceiling.share is 101"),
        ({"ceiling": {"bytes": -1}}, "ceiling.bytes is -1"),
        ({"storage": {"s3": {}, "filesystem": {}}}, "2 drivers"),
    ],
)
def test_wrong_options_are_named(change, says):
    with pytest.raises(OptionsError) as caught:
        parse(json.dumps({**OPTIONS, **change}))
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"registry": "x"})])
def test_what_is_no_options_document_is_refused(text):
    with pytest.raises(OptionsError):
        parse(text)


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        (None, "free"),
        ({"holderIdentity": ""}, "free"),
        ({"holderIdentity": "me"}, "own"),
        ({"holderIdentity": "other"}, "abandoned"),
        ({"holderIdentity": "other", "renewTime": stamp(NOW - 59), "leaseDurationSeconds": 60}, "held"),
        ({"holderIdentity": "other", "renewTime": stamp(NOW - 61), "leaseDurationSeconds": 60}, "abandoned"),
        ({"holderIdentity": "other", "acquireTime": stamp(NOW - 5), "leaseDurationSeconds": 60}, "held"),
        ({"holderIdentity": "me", "renewTime": stamp(NOW - 9999), "leaseDurationSeconds": 60}, "own"),
        ({"holderIdentity": "other", "renewTime": "yesterday", "leaseDurationSeconds": 60}, "abandoned"),
    ],
)
def test_the_state_of_a_lease(spec, state):
    assert state_of({"metadata": {}, "spec": spec}, "me", NOW) == state


@pytest.mark.parametrize(
    ("before", "annotation", "count"),
    [("3", "2", 3), ("0", "2", 0), (None, "2", 2), (None, None, 1), ("x", "4", 4), ("x", "y", 1)],
)
def test_how_many_writers_come_back(before, annotation, count):
    assert wanted(before, annotation) == count


def _pod(phase, *, deleting=False, state="running", reason=None):
    metadata = {"name": "w", **({"deletionTimestamp": "2030-01-01T00:00:00Z"} if deleting else {})}
    status = {"phase": phase, "containerStatuses": [{"state": {state: {}}}], "reason": reason}
    return {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": status}


@pytest.mark.parametrize(
    ("pod", "says"),
    [
        (_pod("Running"), "w on node node-1 (Running)"),
        (_pod("Running", deleting=True), "w on node node-1 (terminating)"),
        (_pod("Pending", state="waiting"), "w on node node-1 (Pending)"),
        (_pod("Running", deleting=True, reason="NodeLost"), "w on node node-1 (terminating, NodeLost)"),
        (_pod("Failed"), "w on node node-1 (Failed)"),
        (_pod("Failed", state="terminated"), None),
        (_pod("Succeeded", state="terminated"), None),
    ],
)
def test_only_a_pod_that_has_ended_is_gone(pod, says):
    assert lingering([pod]) == ([says] if says else [])


@pytest.mark.parametrize(
    ("deleting", "conditions", "is_ready"),
    [
        (False, {"Ready": "True", "PodScheduled": "True"}, True),
        (False, {"Ready": "False", "PodScheduled": "True"}, False),
        (False, {"Ready": "Unknown"}, False),
        (True, {"Ready": "True"}, False),
        (False, {}, False),
    ],
)
def test_a_writer_is_ready_when_its_pod_says_so_and_stays(deleting, conditions, is_ready):
    pod = _pod("Running", deleting=deleting)
    pod["status"]["conditions"] = [{"type": kind, "status": status} for kind, status in conditions.items()]
    assert ready([_pod("Pending"), pod]) is is_ready


@pytest.mark.parametrize(
    ("kind", "major", "untagged", "fatal"),
    [
        ("manifest-missing", 2, "keep", True),
        ("manifest-empty", 3, "keep", True),
        ("revision-link-empty", 3, "keep", True),
        ("layer-link-empty", 3, "keep", True),
        ("layer-link-empty", 2, "keep", False),
        ("revision-link-damaged", 2, "keep", True),
        ("layer-link-damaged", 3, "keep", True),
        ("layer-link-damaged", 2, "keep", False),
        ("repository-name", 2, "keep", True),
        ("tag-link-damaged", 3, "keep", False),
        ("tag-link-damaged", 3, "delete", True),
        ("tag-link-empty", 3, "keep", False),
        ("tag-link-empty", 3, "delete", True),
    ],
)
def test_which_damage_of_the_store_forbids_to_collect(kind, major, untagged, fatal):
    assert fatal_in_store(Problem(kind, "a@sha256:0", "", ""), major, untagged) is fatal


@pytest.mark.parametrize(
    ("kind", "where", "untagged", "fatal"),
    [
        ("manifest-missing", "a:1", "keep", True),
        ("manifest-missing", "a@sha256:0", "keep", False),
        ("manifest-missing", "a@sha256:0", "delete", True),
        ("manifest-unreadable", "a:1", "keep", True),
        ("manifest-unreadable", "a:empty", "keep", False),
        ("digest-mismatch", "a@sha256:0", "keep", True),
        ("listing-untrusted", "a", "keep", False),
        ("listing-untrusted", "a", "delete", True),
        ("repository-unreadable", "a", "keep", True),
        ("repository-missing", "a", "keep", False),
    ],
)
def test_which_faults_of_the_registry_forbid_to_collect(kind, where, untagged, fatal):
    assert fatal_in_inventory(Problem(kind, where, "", ""), {"a:empty"}, untagged) is fatal


@pytest.mark.parametrize(
    ("found", "expected", "blobs", "empty", "refused"),
    [
        ("x", "x", 5, False, False),
        ("y", "x", 5, False, True),
        (None, "x", 5, False, True),
        ("x", None, 0, False, False),
        (None, None, 0, True, False),
        (None, None, 5, True, True),
        (None, None, 0, False, False),
    ],
)
def test_another_store_is_refused(found, expected, blobs, empty, refused):
    if not refused:
        check_identity(found, expected, blobs, empty, "/store")
        return
    with pytest.raises(RefusedError) as caught:
        check_identity(found, expected, blobs, empty, "/store")
    assert "/store" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("registry github.com/distribution/distribution/v3 v3.1.2\n", (3, 1)),
        ("docker-registry github.com/docker/distribution 2.8.2+ds1\n", (2, 8)),
        ("registry github.com/distribution/distribution/v3 3.0.0+unknown\n", (3, 0)),
        ("something else", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_version_of_the_program(text, version):
    assert version_of(text) == version


def test_the_reader_can_neither_write_nor_be_reached():
    made = config({"s3": {"bucket": "b"}}, 5)
    assert made["storage"]["maintenance"]["readonly"]["enabled"] is True
    assert made["http"]["addr"] == "127.0.0.1:5"
    assert "cache" not in made["storage"]
    assert "auth" not in made


def test_the_history_is_short_and_tells_what_was_abandoned():
    last = {"run": "two", "outcome": "running", "step": "collect", "history": [{"run": "one"}, {"run": "zero"}]}
    kept = report.history_of(last, "two", 2)
    assert [entry["run"] for entry in kept] == ["two", "one"]
    assert (kept[0]["outcome"], kept[0]["reason"]) == ("abandoned", "its pod ended in step collect")
    assert report.history_of(None, "two", 2) == []


def test_a_job_is_made_as_the_schedule_would():
    cron_job: dict[str, t.Any] = {
        "metadata": {"name": "depot-gc", "uid": "u"},
        "spec": {
            "jobTemplate": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"template": {"spec": {"containers": [{"name": "engine", "args": ["x"]}]}}},
            }
        },
    }
    job = job_from(cron_job, "depot-gc-1", dry_run=True)
    assert job["metadata"]["labels"] == {"a": "b"}
    assert job["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["x", "--dry-run"]
    assert job_from(cron_job, "n", dry_run=False)["spec"] == cron_job["spec"]["jobTemplate"]["spec"]


@pytest.mark.parametrize(
    ("conditions", "result"),
    [
        ([], ""),
        ([{"type": "Complete", "status": "True"}], "complete"),
        ([{"type": "Failed", "status": "True", "reason": "R", "message": "M"}], "R: M"),
        ([{"type": "FailureTarget", "status": "True"}], ""),
    ],
)
def test_when_a_job_has_ended(conditions, result):
    assert verdict({"status": {"conditions": conditions}}) == result


def test_a_lost_content_is_in_the_summary():
    document = {
        "run": "r",
        "outcome": "failed",
        "step": "verify",
        "reason": "Could not find.",
        "remedy": "Push.",
        "eligible": None,
        "deleted": {"blobs": 2, "manifests": 0, "bytes": None},
        "after": None,
        "fence": {"writers": 1, "seconds": 1.5},
        "verification": {"ok": False, "depth": "full", "problems": [{}, {}]},
        "warnings": ["careful"],
        "problems": [],
    }
    lines = summary_of(document)
    assert lines[0] == "r: failed in step verify"
    assert "verified (full): 2 contents are lost" in lines
    assert "warning: careful" in lines
    assert "pushes waited 1.5 s" in lines


def test_times_are_written_as_the_api_reads_them():
    assert stamp(0).startswith("1970-01-01T00:00:00.000000Z")
    assert stamp(time.time()).endswith("Z")
