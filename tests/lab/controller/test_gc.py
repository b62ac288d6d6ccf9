# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a collection that never began leaves to the next job of a workflow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.controller.job import Controller, Credential

NOBODY = {"registry_name": "nobody", "registry_namespace": "controller-nobody"}


@pytest.mark.parametrize(
    ("server", "why"),
    [
        pytest.param(None, "there is no such CronJob", id="no registry"),
        pytest.param("https://127.0.0.1:9", "127.0.0.1:9", id="no cluster"),
    ],
)
def test_the_next_job_is_told_why_nothing_was_collected(
    kubeconfig: Path, tmp_path: Path, server: str | None, why: str
) -> None:
    text = kubeconfig.read_text("utf-8")
    if server:
        text = re.sub(r"server: \S+", f"server: {server}", text)
    cluster = Credential("homeport_kubeconfig", kubeconfig=text)
    job = Controller(tmp_path, {"registry.example.com": NOBODY}, cluster).launch("homeport_gc")
    assert job.status == "failed"
    told = job.artifacts["homeport_gc"]["registry.example.com"]
    assert (told["ok"], told["outcome"], told["changed"], told["verified"]) == (False, "unknown", False, None)
    assert why in told["reason"]
    assert told["deleted"] == {}
