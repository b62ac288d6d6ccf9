# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a collection deletes, what stays, what it says, and what it is allowed to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from tests.verify import oci
from tests.verify.clients import WORK, Client, PullLoop
from tests.verify.gc.collector import Collector, Document, ansible
from tests.verify.oci import Layout
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry


def push(client: Client, account: Account, layout: Layout, name: str) -> Layout:
    """Push a layout and return it. Every node needs a moment to learn where the writer of after a collection is."""
    client.wait_open(seconds=60)
    done = client.push(client.put(layout), name, account)
    assert done.rc == 0, done.stderr
    return layout


def delete(client: Client, account: Account, repository: str, layout: Layout) -> None:
    """Delete a manifest and its tags."""
    answer = client.http(f"/v2/{repository}/manifests/{layout.digest}", "-X", "DELETE", account=account)
    assert answer.status == 202, answer


def blob_status(client: Client, account: Account, repository: str, digest: str) -> int:
    """Return the status of reading a blob; the descriptor alone would prove nothing."""
    return client.http(f"/v2/{repository}/blobs/{digest}", "-o", "/dev/null", account=account).status


def deleted_image(client: Client, account: Account, seed: str, repository: str) -> Layout:
    """Push an image and delete it."""
    layout = push(client, account, oci.image(seed), f"{repository}:doomed")
    delete(client, account, repository, layout)
    return layout


def test_before_the_first_collection_there_is_no_report(gc_info: Callable[..., Document]) -> None:
    """That is an answer and no failure."""
    found = gc_info()
    assert (found["state"], found["outcome"], found["report"], found["old"]) == ("none", "none", None, True)
    assert found["age"] is None


def test_an_empty_registry_has_nothing_to_collect(collector: Collector) -> None:
    """It is no failure that nothing was pushed yet."""
    done = collector.run()
    assert (done.rc, done.report["outcome"]) == (0, "nothing_to_do"), done.errors


def test_the_schedule(registry: Registry, collector: Collector) -> None:
    """One at a time, at the place's own time, bounded, with a bounded number of Jobs kept."""
    spec = registry.find("spec", "cronjob", collector.name)
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("30 2 * * *", "Europe/Berlin", True)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (5, 5)
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 3600 + 240


def test_the_account_may_do_no_more_than_it_must(registry: Registry, collector: Collector) -> None:
    """Every right is of one named object, but for listing pods and leaving Events."""
    who = f"--as=system:serviceaccount:{registry.namespace}:{collector.name}"
    listed = registry.kubectl("auth", "can-i", "--list", "--no-headers", who)
    rights = {}
    for line in listed.splitlines():
        # resource, non-resource URLs, names, verbs
        found = re.match(r"(\S+)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]", line)
        if found and not found[1].startswith("self"):
            rights[found[1], found[3]] = set(found[4].split())
    name = registry.name
    assert rights == {
        ("leases.coordination.k8s.io", f"{name}-exclusive"): {"get", "create", "patch", "update"},
        ("configmaps", f"{name}-write-permit"): {"get", "create", "patch", "delete"},
        ("configmaps", f"{name}-gc-report"): {"get", "create", "patch"},
        ("deployments.apps", f"{name}-writer"): {"get"},
        ("deployments.apps/scale", f"{name}-writer"): {"patch"},
        ("cronjobs.batch", f"{name}-gc"): {"get"},
        ("pods", ""): {"list"},
        ("events", ""): {"create"},
    }


def test_a_run_now(
    registry: Registry,
    collector: Collector,
    client: Client,
    writer: Account,
    reader: Account,
    playbooks: Playbooks,
    gc_info: Callable[..., Document],
) -> None:
    """Deleted images go; images, indexes, attestations, signatures, artifacts stay; pulls never fail; all is said."""
    image = push(client, writer, oci.image("kept"), "team/app:1")
    index = push(client, writer, oci.index("kept", architectures=("amd64", "arm64", "unknown")), "team/multi:1")
    push(client, writer, oci.artifact("signature"), f"team/multi:{index.digest.replace(':', '-')}.sig")
    artifact = push(client, writer, oci.artifact("kept"), "team/chart:1")
    gone = deleted_image(client, writer, "gone", "team/app")
    urls = [f"http://{registry.host}/v2/team/app/{path}" for path in ("manifests/1", f"blobs/{min(image.digests)}")]
    pulling = PullLoop(client, reader, urls[0])
    with pulling:
        done = collector.run()
    assert done.rc == 0, done.output
    assert pulling.count > 3
    assert pulling.failures == []
    report = done.report
    assert report["outcome"] == "succeeded"
    assert [step["name"] for step in report["steps"]] == [
        "lease", "inventory", "dry_run", "ceiling", "fence", "collect", "release", "verify", "report",
    ]  # fmt: skip
    assert report["verification"]["ok"]
    assert report["deleted"]["blobs"] == len(gone.digests)
    assert report["deleted"]["bytes"] == sum(gone.sizes.values())
    assert report["deleted"]["asked"]
    assert report["before"]["tags"] == report["after"]["tags"] == 4
    assert report["fence"]["seconds"] < 30
    assert collector.report() == report
    # It is followed live, and the report is printed at the end.
    assert "started Job" in done.errors
    assert "collect: delete" in done.errors
    assert "everything was found again" in done.output
    assert {blob_status(client, reader, "team/app", digest) for digest in gone.digests} == {404}
    for layout, name in ((image, "team/app:1"), (index, "team/multi:1"), (artifact, "team/chart:1")):
        folder = name.replace("/", "-").replace(":", "-")
        pulled = client.pull(name, f"oci:{WORK}/{folder}:1", reader)
        assert pulled.rc == 0, pulled.stderr
        assert client.digests(f"{WORK}/{folder}") >= layout.digests
    fallback = f"/v2/team/multi/manifests/{index.digest.replace(':', '-')}.sig"
    signature = client.http(fallback, "-H", f"Accept: {oci.MANIFEST}", account=reader)
    assert signature.status == 200
    reasons = registry.find("items[?source.component=='homeport-gc'].reason", "events")
    assert {"Fenced", "Collected"} <= set(reasons)
    # What was collected can be pushed again, and is whole then.
    push(client, writer, oci.image("gone"), "team/app:again")
    assert client.pull("team/app:again", f"oci:{WORK}/again:1", reader).rc == 0
    assert not playbooks.run("site").changed
    found = gc_info(max_age=600)
    assert (found["state"], found["outcome"], found["old"]) == ("finished", "succeeded", False)
    assert found["report"] == report
    assert "verified (blobs): everything was found again" in found["summary"]


def test_the_module_collects_too(registry: Registry, playbooks: Playbooks) -> None:
    """With become it runs as a module and not in the controller; the result is the same."""
    options = {"kubeconfig": registry.cluster.kubeconfig, "namespace": registry.namespace, "registry": registry.name}
    found = ansible(playbooks, "gc_run", **options)
    assert (found["outcome"], found["changed"]) == ("nothing_to_do", False)
    assert found["job"] == found["report"]["run"]
    assert any("nothing_to_do" in line for line in found["log"])
    assert found["summary"]


def test_a_dry_run_deletes_nothing_and_interrupts_nobody(
    registry: Registry, collector: Collector, client: Client, writer: Account, reader: Account
) -> None:
    """With --check the same Job looks, and says what would go."""
    gone = deleted_image(client, writer, "dry", "team/dry")
    pod = registry.pod("writer")
    done = collector.run("--check")
    assert (done.rc, done.report["outcome"]) == (0, "dry_run"), done.output
    assert (done.told["ok"], done.told["dry_run"], done.told["eligible"]["blobs"]) == (True, True, len(gone.digests))
    assert done.report["eligible"]["blobs"] == len(gone.digests)
    assert done.report["eligible"]["bytes"] == sum(gone.sizes.values())
    assert done.report["fence"] is None
    assert registry.pod("writer") == pod
    assert {blob_status(client, reader, "team/dry", digest) for digest in gone.digests if digest != gone.digest} == {
        200
    }


def test_more_than_the_ceiling_is_refused(
    collector: Collector, client: Client, writer: Account, reader: Account, changed: Callable[..., None]
) -> None:
    """The play fails and says every reason, nothing is gone, and pushes were not interrupted."""
    gone = deleted_image(client, writer, "limits", "team/limits")
    changed(registry_gc_ceiling_share=1, registry_gc_ceiling_bytes=1000, registry_gc_protected=["team/lim*"])
    done = collector.run()
    assert done.rc != 0
    assert (done.report["outcome"], done.report["step"]) == ("refused", "ceiling")
    for reason in ("registry_gc_ceiling_share is 1", "registry_gc_ceiling_bytes is 1000", "something: team/limits"):
        assert reason in done.report["reason"]
        assert reason in done.output
    assert done.report["eligible"]["repositories"]["team/limits"]
    assert done.report["fence"] is None
    assert blob_status(client, reader, "team/limits", max(gone.digests - {gone.digest})) == 200


def test_the_wrong_mount_is_refused(registry: Registry, collector: Collector, changed: Callable[..., None]) -> None:
    """A store without the mark of the last run is another one, and nothing in it is touched."""
    report = collector.report()
    mark = report["store"]["id"]

    def remember(store: str) -> None:
        text = json.dumps({**collector.report(), "store": {"id": store}})
        patch = json.dumps({"data": {"report.json": text}})
        registry.kubectl("patch", "configmap", f"{collector.name}-report", "--type=merge", "-p", patch)

    remember("another")
    done = collector.run()
    assert done.rc != 0
    assert (done.report["outcome"], done.report["step"]) == ("refused", "inventory")
    assert "the last run saw another" in done.report["reason"]
    remember(mark)
