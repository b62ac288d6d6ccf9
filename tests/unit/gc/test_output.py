# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collector's output, line by line, and what its failures mean."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected, diagnose, parse, telling

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")

NEW = f"""team/app
team/app: marking manifest {A}
team/app: marking blob {B}
manifest eligible for deletion: {{team/app {C} [1 latest]}}

2 blobs marked, 2 blobs and 1 manifests eligible for deletion
blob eligible for deletion: {C}
team/app: layer link eligible for deletion: {C}
"""

OLD = f"""team/app
team/app: marking manifest {A}
team/app: marking blob {B}
manifest eligible for deletion: {C}

2 blobs marked, 1 blobs and 1 manifests eligible for deletion
blob eligible for deletion: {C}
"""


def test_what_version_3_prints():
    found = parse(NEW.splitlines(keepends=True))
    assert found.marked == {A, B}
    assert found.manifests == {A}
    assert found.blobs == {C}
    assert found.untagged == {"team/app": {C}}
    assert found.links == {"team/app": {C}}
    assert found.counts == (2, 2, 1)
    assert found.eligible == 3


def test_what_version_2_prints():
    found = parse(OLD.splitlines())
    assert found.untagged == {"": {C}}
    assert found.links == {}
    assert found.counts == (2, 1, 1)


@pytest.mark.parametrize(
    "line",
    [
        f"team/app: marking manifest {A[:-1]}",
        f"blob eligible for deletion: {A}x",
        "2 blobs marked, 1 blobs and 1 manifests eligible for deletion, or so",
        "",
    ],
)
def test_nothing_is_read_into_other_lines(line):
    assert parse([line]) == Collected()


@pytest.mark.parametrize(
    ("code", "errors", "kind"),
    [
        (0, "Usage:\n  registry garbage-collect <config> [flags]", "no-summary"),
        (1, "failed to garbage collect: Path not found: /docker/registry/v2/repositories", "empty"),
        (1, "failed to mark: filesystem: Path not found: /docker/registry/v2/repositories", "empty"),
        (1, "error enumerating blobs: filesystem: Path not found: /docker/registry/v2/blobs", "empty"),
        (1, "failed to mark: invalid checksum digest format", "link-damaged"),
        (1, "failed to retrieve manifest for digest sha256:0: unexpected end of JSON input", "manifest-empty"),
        (1, "failed to parse repo name Bad: invalid reference format", "repository-name"),
        (1, "write /x: no space left on device", "disk-full"),
        (1, "open /x: permission denied", "access"),
        (1, "something new", "unknown"),
        (-9, "", "killed"),
        (1, "", "unknown"),
    ],
)
def test_a_run_without_success_is_explained(code, errors, kind):
    found = diagnose(code, errors, Collected())
    assert found
    assert found.kind == kind
    assert found.remedy
    if errors:
        assert errors.splitlines()[-1] in found.got


def test_status_0_and_the_summary_are_success():
    assert diagnose(0, "", parse(OLD.splitlines())) is None


def test_the_summary_alone_is_no_success():
    assert diagnose(1, "failed to delete blob", parse(OLD.splitlines()))


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("", ""),
        ("first\n\nsecond \n", "second"),
        (
            "level=info\npanic: no such region\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:22\n",
            "panic: no such region",
        ),
        ("fatal error: out of memory\n\nruntime stack:\n", "fatal error: out of memory"),
    ],
)
def test_of_a_panic_its_reason_is_told_and_not_its_trace(printed, told):
    assert telling(printed) == told
    found = diagnose(2, printed, Collected())
    assert found
    assert told in found.got
