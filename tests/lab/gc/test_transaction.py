# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transaction as a whole: what is lost is found, and whatever ends it, the writers come back."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.gc.program import Engine, Namespace, Relay
from tests.lab.inventory.images import Pusher, Store
from tests.lab.modules.distribution import Distribution
from tests.lab.old_registry import old_registry
from tools.paths import ROOT

WHOLE = (1, True, "")


@pytest.fixture(scope="module")
def namespace(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace with a writer."""
    made = Namespace(kubeconfig, f"gc-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("gc") / "account")
    try:
        made.make()
        yield made
    finally:
        made.kubectl("delete", "namespace", made.name, "--wait=false", "--ignore-not-found")


class Filled:
    """A store with one image that stays and one that was deleted."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.store = Store(root)
        server = Distribution(str(ROOT / ".lab/bin/registry"), folder, store=root)
        server.start()
        try:
            push = Pusher(Session(Transport(), server.url))
            self.kept = push.image("team/app", "1", b"kept")
            self.layer = client.get_manifest(push.session, "team/app", "1").document()["layers"][0]["digest"]
            self.gone = push.image("team/app", "2", b"gone")
            client.delete_manifest(push.session, "team/app", self.gone.digest)
        finally:
            server.stop()

    def whole(self) -> bool:
        """Tell whether what must stay is there."""
        return all(self.store.blob(digest).exists() for digest in (self.kept.digest, self.layer))


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path / "store", tmp_path / "writer")


@pytest.fixture
def engine(namespace: Namespace, tmp_path: Path) -> Iterator[Engine]:
    """The program on that store."""
    namespace.reset()
    made = Engine(namespace, tmp_path / "store", tmp_path / "engine")
    yield made
    made.close()


def test_a_collection_succeeds(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    code, report, log = engine.start().end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
    assert namespace.report() == report
    assert namespace.fence() == WHOLE
    assert not filled.store.blob(filled.gone.digest).exists()
    assert filled.whole()


def test_an_emptied_store_is_refused_until_somebody_says_otherwise(
    engine: Engine, namespace: Namespace, filled: Filled
) -> None:
    """Being refused once does not make it the expected store."""
    assert engine.start().end()[0] == 0
    assert namespace.report()["store"]["blobs"] == 3
    (engine.root / "docker").rename(engine.root / "elsewhere")
    for _time in range(2):
        code, report, log = engine.start().end()
        assert (code, report["outcome"], report["step"]) == (10, "refused", "inventory"), log
        assert "the last run left 3 blobs" in report["reason"]
    namespace.kubectl("delete", "configmap", "depot-gc-report")
    assert engine.start().end()[1]["outcome"] == "nothing_to_do"


@pytest.mark.parametrize("what", ["layer", "manifest", "tag"])
def test_what_is_lost_is_found(engine: Engine, namespace: Namespace, filled: Filled, what: str) -> None:
    """A collector that takes too much is found out, and named; the writers come back all the same."""
    place = {
        "layer": filled.store.blob(filled.layer).parent,
        "manifest": filled.store.blob(filled.kept.digest).parent,
        "tag": filled.store.tag_link("team/app", "1").parents[1],
    }[what]
    code, report, log = engine.start(f"rm -rf {place}").end()
    assert (code, report["outcome"], report["step"]) == (11, "failed", "verify"), log
    assert report["verification"]["ok"] is False
    named = {"layer": filled.layer, "manifest": filled.kept.digest, "tag": "team/app:1"}[what]
    assert named in str(report["verification"]["problems"])
    assert namespace.fence() == WHOLE


def test_a_pod_that_is_told_to_end(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """It stops collecting, brings the writers back, says so, and its Job may start another one."""
    run = engine.start(engine.pausing())
    engine.wait_until_it_waits(run)
    assert namespace.fence() == (0, False, "job_uid-of-job")
    run.stop(signal.SIGTERM)
    code, report, log = run.end()
    assert (code, report["outcome"], report["step"]) == (12, "failed", "collect"), log
    assert "told to end" in report["reason"]
    assert namespace.fence() == WHOLE
    assert filled.store.blob(filled.gone.digest).exists()


def test_a_pod_that_was_killed(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """The next pod of the same Job knows the Lease, brings the writers back first, and goes on."""
    run = engine.start(engine.pausing())
    engine.wait_until_it_waits(run)
    run.stop(signal.SIGKILL)
    run.process.wait()
    assert namespace.fence() == (0, False, "job_uid-of-job")
    code, report, log = engine.start().end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
    assert report["recovered"] == {
        "state": "own", "holder": "job_uid-of-job", "step": "collect", "writers": "1",
    }  # fmt: skip
    assert [(entry["outcome"], entry["step"]) for entry in report["history"]] == [("abandoned", "collect")]
    assert namespace.fence() == WHOLE
    assert filled.whole()


def test_a_lease_that_somebody_took(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """Nothing more is deleted, and writers and permit are left to whoever has it now."""
    run = engine.start(engine.pausing(), lease_seconds=8)
    engine.wait_until_it_waits(run)
    patch = '{"spec":{"holderIdentity":"thief"}}'
    namespace.kubectl("patch", "lease", "depot-exclusive", "--type=merge", "-p", patch)
    code, report, log = run.end()
    assert (code, report["outcome"], report["step"]) == (11, "failed", "collect"), log
    assert "thief holds the Lease now" in report["reason"]
    assert namespace.fence() == (0, False, "thief")
    assert filled.store.blob(filled.gone.digest).exists()


def test_distribution_2_collects_but_keeps_what_has_no_tag(
    engine: Engine, namespace: Namespace, filled: Filled
) -> None:
    """To delete untagged manifests is refused there; everything else works as with version 3."""
    code, report, log = engine.start(real=old_registry(), untagged="delete").end()
    assert (code, report["outcome"], report["step"]) == (10, "refused", "inventory"), log
    assert "before version 3" in report["reason"]
    assert filled.store.blob(filled.gone.digest).exists()
    code, report, log = engine.start(real=old_registry()).end()
    assert (code, report["outcome"], report["program"][:4]) == (0, "succeeded", "2.8."), log
    assert namespace.fence() == WHOLE
    assert not filled.store.blob(filled.gone.digest).exists()
    assert filled.whole()


def test_another_deadline(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """It ends by itself, in order, when its time is over."""
    run = engine.start(engine.pausing(), deadline=5)
    code, report, log = run.end()
    assert (code, report["outcome"]) == (11, "failed"), log
    assert "registry_gc_deadline is 5 seconds" in report["reason"]
    assert namespace.fence() == WHOLE
    assert filled.store.blob(filled.gone.digest).exists()


@pytest.mark.parametrize("how", ["cut", "hold"])
@pytest.mark.parametrize(("away", "outcome"), [(14, "succeeded"), (26, "failed")])
def test_an_api_server_that_is_away(
    engine: Engine, namespace: Namespace, filled: Filled, away: int, outcome: str, how: str
) -> None:
    """Shorter than the Lease, the collection waits and goes on; longer, it ends, and the writers come back.

    That is so for a server that refuses connections, and for one whose network loses every packet.
    """
    server = urlsplit(namespace.server)
    relay = Relay(str(server.hostname), int(server.port or 443))
    try:
        run = engine.start(engine.pausing(), lease_seconds=20, url=f"https://127.0.0.1:{relay.port}")
        engine.wait_until_it_waits(run)
        gone = time.monotonic()
        getattr(relay, how)()
        # Long before anybody could take the Lease for abandoned, it is stopped: although it may go on, it does not.
        engine.wait_until_it_stands_still(12)
        engine.go.touch()
        time.sleep(gone + away - time.monotonic())
        assert filled.store.blob(filled.gone.digest).exists()
        relay.mend()
        code, report, log = run.end()
    finally:
        relay.close()
    assert report["outcome"] == outcome, log
    assert code == (0 if outcome == "succeeded" else 11)
    assert filled.store.blob(filled.gone.digest).exists() is (outcome == "failed")
    assert namespace.fence() == WHOLE
    assert filled.whole()


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of 2 MB."""
    place = tmp_path / "store"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_volume(small_volume: Path, namespace: Namespace, tmp_path: Path, engine: Engine) -> None:
    """That is when a collection is needed most: it needs no space of the volume."""
    filled = Filled(small_volume, tmp_path / "writer")
    with contextlib.suppress(OSError), (small_volume / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    code, report, log = engine.start().end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
    assert report["volume"]["free_before"] == 0
    assert report["volume"]["free_after"] > 0
    assert namespace.fence() == WHOLE
    assert filled.whole()


def test_a_store_that_breaks_before_the_fence(
    engine: Engine, namespace: Namespace, filled: Filled, breaking: Callable[[], None]
) -> None:
    """What counts is what is seen inside the fence: a manifest lost since the first look stops the run."""
    run = engine.start(fence_timeout=60)
    breaking()
    code, report, log = run.end()
    assert (code, report["outcome"], report["step"]) == (10, "refused", "fence"), log
    assert filled.kept.digest in report["reason"]
    assert namespace.fence() == WHOLE
    assert filled.store.blob(filled.layer).exists()


@pytest.fixture
def breaking(namespace: Namespace, filled: Filled) -> Iterator[Callable[[], None]]:
    """Return a function that waits for the fence, which a pod holds up, takes a manifest away, and lets the pod go."""
    pod = "lingering"
    labels = "--labels=app.kubernetes.io/component=writer,held=up"
    overrides = '--overrides={"spec":{"schedulerName":"nobody"}}'
    namespace.kubectl("run", pod, "--image=nothing", "--restart=Never", labels, overrides)

    def act() -> None:
        end = time.monotonic() + 60
        while namespace.get("configmap", "depot-write-permit"):
            assert time.monotonic() < end
            time.sleep(0.1)
        filled.store.blob(filled.kept.digest).unlink()
        namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force")

    yield act
    namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--ignore-not-found")
