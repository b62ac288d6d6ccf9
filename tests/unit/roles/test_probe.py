# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof of an object store says of what it sees. The proof itself runs in the scenario s3."""

from __future__ import annotations

import importlib.util
import json
import types

import pytest

from tests.unit.contract.collection import installed

FACTS = {
    "driver": "s3",
    "bucket": "images",
    "root": "team/registry",
    "endpoint": "https://s3.example.com",
    "pod": "registry-proof-a-x",
    "node": "worker",
}


@pytest.fixture(scope="module")
def probe() -> types.ModuleType:
    place = installed() / "roles" / "registry_storage" / "files" / "probe.py"
    spec = importlib.util.spec_from_file_location("probe", place)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("s3aws: NoSuchBucket: The specified bucket does not exist status code: 404", "Make the bucket images"),
        ("s3aws: InvalidAccessKeyId: The access key ID you provided does not exist", "does not know this access key"),
        ("s3aws: SignatureDoesNotMatch: ... status code: 403", "does not belong to the access key"),
        ("s3aws: RequestTimeTooSkewed: The difference ... status code: 403", "The clock of node worker"),
        ("AuthorizationHeaderMalformed: ... is wrong; expecting 'eu-west-1' status code: 400", "The region is not"),
        ("BucketRegionError: incorrect region, the bucket is not in 'x' region", "The region is not"),
        ("NoCredentialProviders: no valid providers in chain. Deprecated.", "gives the pod's account no identity"),
        ("Get https://x: tls: failed to verify certificate: x509: signed by unknown authority", "registry_storage_ca"),
        ("http: server gave HTTP response to HTTPS client", "the other one of http and https"),
        ("dial tcp: lookup s3.example.com on 10.96.0.10:53: no such host", "cannot be resolved in the cluster"),
        (
            "s3aws: AccessDenied: Access Denied. status code: 403",
            "puts, deletes and lists objects and uploads under team/registry",
        ),
        ("[Errno 111] Connection refused", "cannot be reached from the pod"),
        ("s3aws: SlowDown", "Look at the log of the store"),
    ],
)
def test_every_answer_has_its_remedy(probe: types.ModuleType, answer: str, words: str) -> None:
    assert words in probe.remedy(answer, FACTS)


def test_the_report_says_what_where_from_and_what_to_do(probe: types.ModuleType) -> None:
    lines = probe.report(probe.Failed("to begin an upload (write)", "s3aws: NoSuchBucket: " + "x" * 400), FACTS)
    assert [line.partition(":")[0] for line in lines[1:]] == ["tried", "from", "came back", "to do"]
    assert "to begin an upload (write), s3, bucket images, root team/registry, at https://s3.example.com" in lines[1]
    assert "pod registry-proof-a-x on node worker" in lines[2]
    assert lines[3].startswith("came back: s3aws: NoSuchBucket")
    # What shows a container's log cuts longer lines.
    assert all(len(line) <= 300 for line in lines)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([{"msg": "starting"}, {"msg": "failed", "err.detail": "s3aws: NoSuchBucket"}], "s3aws: NoSuchBucket"),
        ([{"msg": "failed", "err.detail": "first\n\tstatus code: 403"}, {}], "first status code: 403"),
        ([{"msg": "odd"}, "panic: no bucket parameter provided", "goroutine 1 [running]:"], "panic: no bucket"),
        ([{"err.detail": 'caused by: Put "https://s3/a/b": x509: unknown'}], "caused by: x509: unknown"),
        ([], ""),
    ],
)
def test_the_cause_is_what_the_driver_said(probe: types.ModuleType, log: list[object], expected: str) -> None:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in log]
    assert probe.cause("\n".join(lines)).startswith(expected)
