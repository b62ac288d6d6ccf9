# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collection and others: a second one, a run of site, a holder that died, a writer that does not go."""

from __future__ import annotations

from collections.abc import Callable

from tests.verify import oci
from tests.verify.clients import Client
from tests.verify.cluster import eventually
from tests.verify.gc.collector import Collector, Document
from tests.verify.gc.test_collecting import blob_status, deleted_image, push
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

UPLOADS = "/v2/team/app/blobs/uploads/"


def test_while_another_holds_the_lease_it_is_refused(
    collector: Collector, gc_info: Callable[..., Document], changed: Callable[..., None]
) -> None:
    """It says who holds it, and leaves the report of the other alone."""
    before = collector.report()
    collector.hold("somebody", renewed_ago=0, seconds=600)
    done = collector.run()
    assert done.rc != 0
    assert (done.report["outcome"], done.report["step"]) == ("refused", "lease")
    assert "somebody holds it" in done.report["reason"]
    assert "somebody holds it" in done.output
    assert (done.told["ok"], done.told["outcome"], done.told["reason"]) == (False, "refused", done.report["reason"])
    assert collector.report() == before
    assert gc_info()["outcome"] == before["outcome"]


def test_two_at_once(collector: Collector, client: Client, writer: Account, reader: Account) -> None:
    """One of them collects; the other one is refused, or comes later and finds nothing to do."""
    gone = deleted_image(client, writer, "two", "team/two")
    jobs = [collector.start(), collector.start()]
    outcomes = sorted(collector.finish(job)["outcome"] for job in jobs)
    assert outcomes in (["refused", "succeeded"], ["nothing_to_do", "succeeded"])
    assert blob_status(client, reader, "team/two", gone.digest) == 404
    assert collector.writers() == (1, True)
    client.wait_open(seconds=60)


def test_site_during_a_collection(
    collector: Collector,
    registry: Registry,
    client: Client,
    writer: Account,
    playbooks: Playbooks,
    gc_info: Callable[..., Document],
) -> None:
    """It neither brings the permit back nor starts a writer, changes nothing, and the collection goes on."""
    deleted_image(client, writer, "site", "team/site")
    with collector.lingering_writer():
        job = collector.start()
        collector.wait_step(job, "fence")
        eventually(lambda: collector.writers() == (0, False), "the fence is being put up")
        assert gc_info()["state"] == "running"
        assert client.http(UPLOADS, "-X", "POST", account=writer).status == 503
        run = playbooks.run("site")
        assert not run.changed
        assert collector.writers() == (0, False)
    report = collector.finish(job)
    assert report["outcome"] == "succeeded"
    assert collector.writers() == (1, True)
    client.wait_open(seconds=60)


def test_a_writer_that_does_not_go(
    collector: Collector, client: Client, writer: Account, reader: Account, changed: Callable[..., None]
) -> None:
    """The collection waits, gives up with the reason, deletes nothing, and brings the writers back."""
    gone = deleted_image(client, writer, "lingering", "team/lingering")
    changed(registry_gc_fence_timeout=5)
    with collector.lingering_writer() as pod:
        done = collector.run()
    assert done.rc != 0
    assert (done.report["outcome"], done.report["step"]) == ("failed", "fence")
    assert pod in done.report["reason"]
    assert (done.told["ok"], done.told["outcome"], done.told["reason"]) == (False, "failed", done.report["reason"])
    assert collector.writers() == (1, True)
    client.wait_open(seconds=60)
    assert blob_status(client, reader, "team/lingering", max(gone.digests - {gone.digest})) == 200


def test_a_holder_that_died(
    collector: Collector, registry: Registry, client: Client, gc_info: Callable[..., Document]
) -> None:
    """The next collection brings back what it took away, says so, and goes on."""
    collector.hold("dead", renewed_ago=3600, seconds=1, writers_before="1")
    registry.kubectl("delete", "configmap", collector.permit)
    registry.scale_writer(0)
    done = collector.run()
    assert done.rc == 0, done.output
    assert done.report["outcome"] in ("succeeded", "nothing_to_do")
    assert done.report["recovered"]["holder"] == "dead"
    assert done.report["recovered"]["writers"] == "1"
    assert "dead" in "".join(done.report["warnings"])
    assert collector.writers() == (1, True)
    client.wait_open(seconds=60)
    assert gc_info()["report"]["recovered"] == done.report["recovered"]


def test_a_collector_that_is_deleted_starts_again(
    collector: Collector, registry: Registry, client: Client, writer: Account, changed: Callable[..., None]
) -> None:
    """Its Job makes another pod, which collects; the writers are back in any case."""
    deleted_image(client, writer, "killed", "team/killed")
    with collector.lingering_writer():
        job = collector.start()
        collector.wait_step(job, "fence")
        eventually(lambda: collector.writers() == (0, False), "the fence is being put up")
        selector = f"batch.kubernetes.io/job-name={job}"
        registry.kubectl("delete", "pod", "-l", selector, "--grace-period=0", "--force", "--wait=false")
        pod = registry.find("items[0].metadata.name", "pods", "-l", selector)
        eventually(
            lambda: registry.find("items[-1].metadata.name", "pods", "-l", selector) not in (None, pod),
            "another pod of the Job",
        )
    report = collector.finish(job)
    assert report["outcome"] == "succeeded"
    assert collector.writers() == (1, True)


def test_untagged_manifests_are_deleted_only_by_choice(
    collector: Collector, client: Client, writer: Account, reader: Account, changed: Callable[..., None]
) -> None:
    """An image whose tag has moved goes then, and the report warns of it."""
    old = push(client, writer, oci.image("moved from"), "team/moved:1")
    push(client, writer, oci.image("moved to"), "team/moved:1")
    manifest = f"/v2/team/moved/manifests/{old.digest}"
    accept = ("-H", f"Accept: {oci.MANIFEST}")
    assert client.http(manifest, *accept, account=reader).status == 200
    changed(registry_gc_untagged="delete")
    done = collector.run()
    assert done.rc == 0, done.output
    assert any("pinned by digest" in text for text in done.report["warnings"])
    assert client.http(manifest, *accept, account=reader).status == 404
    assert client.http("/v2/team/moved/manifests/1", *accept, account=reader).status == 200
