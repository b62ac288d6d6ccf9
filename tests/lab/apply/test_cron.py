# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""A CronJob whose pod is at work while it is removed."""

from __future__ import annotations

import json
import time

from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions
from tests.lab.apply.test_readiness import job

# It takes some seconds to end in order.
SLOW = "trap 'sleep 4; exit 0' TERM; while :; do sleep 0.1; done"


def test_what_a_cron_job_runs_ends_before_its_rights_go(apply: Applier, kubectl: Kubectl) -> None:
    """It may have something to put right before it ends."""
    template = {"spec": job(SLOW)["spec"]}
    template["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "slow"},
        "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template},
    }
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "slow"}, "rules": []}
    apply(cron, role)
    kubectl("create", "job", "slow-1", "--from=cronjob/slow")
    end = time.monotonic() + 60
    while not kubectl("get", "pods", "--field-selector=status.phase=Running", "--output=name").strip():
        assert time.monotonic() < end
        time.sleep(0.2)
    gone = apply(cron, role, state="absent", wait=True)
    assert set(actions(gone).values()) == {"deleted"}
    assert json.loads(kubectl("get", "pods", "--output=json"))["items"] == []
