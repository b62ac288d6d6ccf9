# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Which entries are put into a list and taken out of it, and which pods are told apart, by table."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._apply_join import plan
from ansible_collections.homeport.registry.plugins.module_utils._apply_late import host_of, lacks

TEST = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


@pytest.mark.parametrize(
    ("there", "wanted", "ours", "becomes"),
    [
        ([], ["a"], [], ["a"]),
        (["x"], ["a"], [], ["x", "a"]),
        (["x", "a", "y"], ["a"], [], None),
        (["a", "x"], ["b"], ["a"], ["x", "b"]),
        (["x", "a"], ["a", "b"], ["a"], ["x", "a", "b"]),
        (["x", "a"], [], ["a"], ["x"]),
        (["a"], [], ["a"], []),
        (["x"], [], ["a"], None),
        ([], [], ["a"], None),
    ],
)
def test_only_our_entries_come_and_go(
    there: list[str], wanted: list[str], ours: list[str], becomes: list[str] | None
) -> None:
    document: dict[str, Any] = {"metadata": {"resourceVersion": "7"}}
    if there:
        document["imagePullSecrets"] = named(*there)
    operations = plan(
        document, {"imagePullSecrets": wanted} if wanted else {}, {"imagePullSecrets": ours} if ours else {}
    )
    if becomes is None:
        assert operations == []
    elif becomes:
        assert operations == [TEST, {"op": "add", "path": "/imagePullSecrets", "value": named(*becomes)}]
    else:
        assert operations == [TEST, {"op": "remove", "path": "/imagePullSecrets"}]


def test_more_than_a_name_in_an_entry_of_others_is_kept() -> None:
    document = {"metadata": {"resourceVersion": "7"}, "secrets": [{"name": "x", "kind": "Secret"}]}
    assert plan(document, {"secrets": ["a"]}, {})[1]["value"] == [{"name": "x", "kind": "Secret"}, {"name": "a"}]


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("nginx", "docker.io"),
        ("library/nginx:1", "docker.io"),
        ("registry.example.com/a/b@sha256:00", "registry.example.com"),
        ("registry:5000/a", "registry:5000"),
        ("localhost/a", "localhost"),
    ],
)
def test_host_of_an_image(image: str, host: str) -> None:
    assert host_of(image) == host


@pytest.mark.parametrize(
    ("account", "image", "reason", "secrets", "expected"),
    [
        (None, "r.test/a", "ImagePullBackOff", [], True),
        ("default", "r.test/a", "ErrImagePull", ["theirs"], True),
        ("default", "r.test/a", "ErrImagePull", ["theirs", "ours"], False),
        ("default", "r.test/a", "ContainerCreating", [], False),
        ("default", "other.test/a", "ErrImagePull", [], False),
        ("builder", "r.test/a", "ErrImagePull", [], False),
    ],
)
def test_pod_that_came_too_early(
    account: str | None, image: str, reason: str, secrets: list[str], expected: bool
) -> None:
    spec: dict[str, Any] = {
        "initContainers": [{"name": "first", "image": image}],
        "containers": [{"name": "main", "image": "r.test/other"}],
        "imagePullSecrets": named(*secrets),
    }
    if account:
        spec["serviceAccountName"] = account
    waiting = {"name": "first", "state": {"waiting": {"reason": reason}}}
    pod = {"spec": spec, "status": {"initContainerStatuses": [waiting]}}
    assert lacks(pod, {"default": ["ours"]}, {"r.test"}) is expected
