# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cache does while its upstream is not there."""

from __future__ import annotations

from tests.verify import oci
from tests.verify.cache.upstream import Upstream
from tests.verify.clients import WORK, Client
from tests.verify.cluster import Cluster, eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry

KNOWN = oci.image("known")


def fetch(at_upstream: Client, at_mirror: Client) -> None:
    """Have an image fetched."""
    assert at_upstream.push(at_upstream.put(KNOWN), "library/known:1", None).rc == 0
    assert at_mirror.pull("library/known:1", f"oci:{WORK}/known:1", None).rc == 0


def serves(at_mirror: Client, folder: str) -> None:
    """Check that the image comes whole, by tag and by digest."""
    pulled = at_mirror.pull("library/known:1", f"oci:{WORK}/{folder}:1", None)
    assert pulled.rc == 0, pulled.stderr
    assert at_mirror.digests(f"{WORK}/{folder}") == KNOWN.digests
    path = f"/v2/library/known/manifests/{KNOWN.digest}"
    assert at_mirror.http(path, "-H", f"Accept: {KNOWN.media_type}").status == 200
    assert at_mirror.http("/v2/library/unknown/manifests/1", "-H", f"Accept: {KNOWN.media_type}").status >= 400


def why(mirror: Registry) -> str:
    """Return what the cache's fetcher said last about its start."""
    return mirror.inside("cache", "registry").run("cat /tmp/why").stdout


def test_cache_that_runs_serves_what_it_has(upstream: Upstream, at_upstream: Client, at_mirror: Client) -> None:
    """Cutting the upstream off takes nothing away that was fetched before."""
    fetch(at_upstream, at_mirror)
    with upstream.away():
        serves(at_mirror, "away")


def test_cache_that_starts_serves_what_it_has_and_fetches_again_soon(
    upstream: Upstream, at_upstream: Client, at_mirror: Client, mirror: Registry
) -> None:
    """A node that dies in an outage does not take the cache with it, and nobody has to restart anything afterwards."""
    fetch(at_upstream, at_mirror)
    with upstream.away():
        mirror.kubectl("delete", "pod", mirror.pod("cache"))
        mirror.wait_ready(mirror.name)
        eventually(lambda: at_mirror.http("/v2/").status == 200, "the new pod answers")
        # The program tries the upstream for a while before it gives up, and only then is there a reason to read.
        eventually(lambda: "cannot start without the upstream" in why(mirror), "the fetcher says why it does not start")
        serves(at_mirror, "restarted")
    pod = mirror.pod("cache")
    new = oci.image("made after the outage")
    eventually(lambda: at_upstream.http("/v2/").status == 200, "the upstream answers")
    assert at_upstream.push(at_upstream.put(new), "library/new:1", None).rc == 0
    eventually(lambda: at_mirror.pull("library/new:1", f"oci:{WORK}/new:1", None).rc == 0, "the cache fetches again")
    assert mirror.pod("cache") == pod
    assert mirror.find("status.initContainerStatuses[].restartCount", "pod", pod) == [0, 0]


def test_empty_cache_says_what_it_waits_for_and_starts_late(
    upstream: Upstream, playbooks: Playbooks, cluster: Cluster, registry: Registry
) -> None:
    """With nothing to serve it is not ready, the run says why, and it becomes ready when the upstream comes."""
    empty = Registry(cluster, "empty", f"{registry.namespace}-empty")
    there = {"registry_name": empty.name, "registry_namespace": empty.namespace}
    with upstream.away():
        done = playbooks.attempt("site", "--limit=mirror.molecule.test", **there, registry_wait_timeout=15)
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert f"Deployment {empty.namespace}/empty is not ready" in said
        assert "cannot start without the upstream: Get" in said
    empty.wait_ready(empty.name)
