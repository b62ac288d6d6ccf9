# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a holder asks for that arrives when another one holds the Lease, and what it hears that is no longer so."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._fence_api import Api
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import Lease
from ansible_collections.homeport.registry.plugins.module_utils._fence_writers import Writers
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options
from tests.lab.gc.program import Namespace
from tests.lab.gc.test_drained import nowhere
from tests.lab.gc.test_transaction import namespace

__all__ = ["namespace", "nowhere"]

SECONDS = 4


class Slow(Api):
    """Keeps one request back for longer than the Lease lasts, and loses every other meanwhile."""

    def __init__(self, namespace: Namespace, takes_over: Callable[[], None]) -> None:
        super().__init__(namespace.server, str(namespace.account))
        self._takes_over = takes_over
        self.kept_back = ""
        self.arrives = False
        self._away = False

    def _exchange(self, method: str, path: str, *details: t.Any) -> tuple[int, t.Any]:
        if self._away:
            raise ConnectionError("away")
        if self.kept_back and f"{method} {path}".startswith(self.kept_back):
            self.kept_back, self._away = "", True
            time.sleep(SECONDS + 1)
            self._takes_over()
            self._away = False
            if not self.arrives:
                raise ConnectionError("away")
        return super()._exchange(method, path, *details)


class Behind(Api):
    """Hears of the Deployment's pods what was so at the first time, as from a controller that has no time."""

    status: dict[str, t.Any] | None = None

    def _exchange(self, method: str, path: str, *details: t.Any) -> tuple[int, t.Any]:
        status, found = super()._exchange(method, path, *details)
        if method == "GET" and path.endswith("/deployments/depot-writer"):
            self.status = self.status or found["status"]
            found["status"] = self.status
        return status, found


class Holder:
    """One that can make a fence."""

    def __init__(self, namespace: Namespace, api: Api) -> None:
        self.namespace = namespace
        options = Options(
            registry="depot",
            namespace=namespace.name,
            storage={"filesystem": {"rootdirectory": "/nowhere"}},
            permit={"metadata": {"name": "depot-write-permit"}, "data": {"a": "b"}},
            writer_selector="app.kubernetes.io/component=writer",
        )
        self.lease = Lease(api, namespace.name, "depot-exclusive", "first", "pod", SECONDS)
        self.warnings: list[str] = []
        self.writers = Writers(api, options, self.lease, self.warnings.append)
        self.lease.take(10)


class Overtaken(Holder):
    """One whose requests are late, with another that takes the Lease over."""

    def __init__(self, namespace: Namespace) -> None:
        self.fenced = False
        self.api = Slow(namespace, self._take_over)
        super().__init__(namespace, self.api)

    def _take_over(self) -> None:
        patch = '{"spec":{"holderIdentity":"second"}}'
        self.namespace.kubectl("patch", "lease", "depot-exclusive", "--type=merge", "-p", patch)
        if self.fenced:
            # It brings the writers back first, and makes a fence of its own.
            for count in (1, 0):
                self.namespace.kubectl("scale", "deployment/depot-writer", f"--replicas={count}")


@pytest.fixture
def holder(namespace: Namespace) -> Iterator[Overtaken]:
    namespace.reset()
    made = Overtaken(namespace)
    yield made
    made.lease.stop()


@pytest.mark.parametrize("arrives", [False, True], ids=["repeated", "late"])
def test_writers_are_not_started_inside_the_fence_of_another_one(
    namespace: Namespace, holder: Overtaken, arrives: bool
) -> None:
    """Neither by what is asked again, nor by what was on its way all the time."""
    holder.writers.send_away()
    holder.fenced, holder.api.arrives = True, arrives
    holder.api.kept_back = f"PATCH {holder.writers.path}/scale"
    holder.writers.bring_back(None, 60)
    assert namespace.fence() == (0, False, "second")
    assert any("another holder" in text for text in holder.warnings)


def test_writers_are_not_stopped_by_who_is_too_late(namespace: Namespace, holder: Overtaken) -> None:
    """They are at work for somebody else."""
    holder.api.kept_back = "DELETE"
    with pytest.raises(FenceLostError):
        holder.writers.send_away()
    assert namespace.fence() == (1, True, "second")


def test_pushes_do_not_work_before_a_new_writer_is_ready(namespace: Namespace, nowhere: None) -> None:
    """The Deployment may still speak of the one that was sent away."""
    namespace.reset()
    api = Behind(namespace.server, str(namespace.account))
    holder = Holder(namespace, api)
    try:
        holder.writers.send_away()
        assert holder.writers.bring_back(None, 60, wait=2) is None
    finally:
        holder.lease.stop()
    assert api.status
    assert api.status["readyReplicas"] == 1
    assert holder.warnings == ["the writers are started again, but none was ready after 2 seconds"]
