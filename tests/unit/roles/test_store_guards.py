# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What registry_storage makes of what there is already: another registry's place, a volume, an earlier proof."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.contract.collection import installed, load

ROLE = installed() / "roles" / "registry_storage"
S3 = {"registry_storage_driver": "s3", "registry_storage_s3_bucket": "images"}
OURS = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "homeport"}}}
THEIRS = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}
FAILED = {"conditions": [{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True"}]}
JOBS = {name: f"Job/registry-proof-{name}" for name in "abc"}
Live = dict[str, t.Any]


def run(folder: Path, hosts: dict[str, dict[str, t.Any]], template: str, group: str = "registries") -> dict[str, str]:
    """Render a template for each host; return what it becomes, or what is said instead."""
    folders = [installed() / "roles" / "registry", ROLE]
    variables: dict[str, t.Any] = {"ansible_connection": "local", "role_path": str(ROLE)}
    for role in folders:
        variables.update(load((role / "defaults" / "main.yml").read_text(encoding="utf-8")))
    # The root of a host is compared with those of others, so it must not be a variable of the group.
    root = variables.pop("registry_storage_root")
    path = ROLE / "templates" / template
    play = {
        "hosts": "all",
        "gather_facts": False,
        "ignore_errors": True,
        "vars_files": [str(file) for role in folders for file in sorted((role / "vars").rglob("*.yml"))],
        "vars": {"registry_storage_root": root},
        "tasks": [{"ansible.builtin.debug": {"msg": f"{{{{ lookup('ansible.builtin.template', '{path}') }}}}"}}],
    }
    live = dict.fromkeys([*JOBS.values(), "PersistentVolumeClaim/registry-data", "Secret/mine"])
    inventory = {
        group: {
            "vars": variables,
            "hosts": {name: {**given, "live": {**live, **given.get("live", {})}} for name, given in hosts.items()},
        }
    }
    for name, content in (("play.yml", [play]), ("inventory.yml", inventory)):
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    command = ["ansible-playbook", "-i", "inventory.yml", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    results = json.loads(done.stdout[done.stdout.index("{\n") :])["plays"][0]["tasks"][0]["hosts"]
    return {name: result["msg"] or "" for name, result in results.items()}


def test_no_two_registries_share_a_place(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        {
            "one": S3,
            "same": {**S3, "registry_name": "other", "registry_storage_root": "registry/registry"},
            "elsewhere": {**S3, "registry_storage_s3_bucket": "others"},
            "other_name": {**S3, "registry_name": "second"},
            "other_server": {**S3, "registry_storage_s3_endpoint": "https://s3.example.com"},
            "volume": {},
        },
        "storage.yml.j2",
    )
    refused = {name for name, text in said.items() if "would put their images into the same place" in text}
    assert refused == {"one", "same"}
    assert "registries one and same" in said["one"]


def test_a_volume_with_images_is_not_left_by_accident(tmp_path: Path) -> None:
    claim = "PersistentVolumeClaim/registry-data"
    said = run(
        tmp_path,
        {
            "ours": {**S3, "live": {claim: OURS}},
            "meant": {**S3, "registry_storage_root": "a", "registry_storage_leave_volume": True, "live": {claim: OURS}},
            "theirs": {**S3, "registry_storage_root": "b", "live": {claim: THEIRS}},
            "removal": {**S3, "registry_storage_root": "c", "registry_storage_state": "absent", "live": {claim: OURS}},
        },
        "storage.yml.j2",
    )
    assert {name for name, text in said.items() if "holds the images of registry" in text} == {"ours"}


def job(text: str) -> dict[str, t.Any]:
    found = next(document for document in yaml.safe_load_all(text) if document["kind"] == "Job")
    return t.cast("dict[str, t.Any]", found)


def test_a_proof_is_made_again_when_anything_has_changed_or_it_failed(tmp_path: Path) -> None:
    keys = {"registry_storage_s3_access_key": "AK", "registry_storage_s3_secret_key": "SK"}
    mark = job(run(tmp_path, {"first": {**S3, **keys}}, "proof.yml.j2")["first"])["metadata"]["annotations"]

    def proven(status: dict[str, t.Any]) -> Live:
        return {JOBS["a"]: {"metadata": {"annotations": mark}, "status": status}}

    cases: dict[str, tuple[dict[str, t.Any], str]] = {
        "same": ({}, "a"),
        "running": ({"live": proven({})}, "a"),
        "failed": ({"live": proven(FAILED)}, "b"),
        "secret": ({"registry_storage_s3_secret_key": "new"}, "b"),
        "authority": ({"registry_storage_ca": "PEM"}, "b"),
        "bucket": ({"registry_storage_s3_bucket": "other"}, "b"),
        "image": ({"registry_image": "example.org/registry:3"}, "b"),
        "egress": ({"registry_storage_egress": [{"ports": [{"port": 9000}]}]}, "b"),
    }
    complete = proven({"conditions": [{"type": "Complete", "status": "True"}]})
    hosts = {name: {**S3, **keys, "live": complete, **given} for name, (given, _expected) in cases.items()}
    # In no group of registries they are no neighbours of each other.
    said = run(tmp_path, hosts, "proof.yml.j2", group="alone")
    for name, (_given, expected) in cases.items():
        found = job(said[name])
        assert found["metadata"]["name"] == f"registry-proof-{expected}", name
        assert (found["metadata"]["annotations"] == mark) == (name in ("same", "running", "failed")), name


@pytest.mark.parametrize("found", [None, {"data": {"AWS_ACCESS_KEY_ID": "QUs=", "AWS_SECRET_ACCESS_KEY": "U0s="}}])
def test_a_secret_that_is_not_there_is_told_before_anything_starts(tmp_path: Path, found: Live | None) -> None:
    host = {**S3, "registry_storage_secret_name": "mine", "live": {"Secret/mine": found}}
    said = run(tmp_path, {"host": host}, "proof.yml.j2")["host"]
    assert ("Secret mine in namespace registry does not exist" in said) == (found is None)
