# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a holder asks for, and what arrives when its time is over and another one holds the Lease."""

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
from tests.lab.gc.test_transaction import namespace

__all__ = ["namespace"]

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


class Holder:
    """One that makes a fence, with another that takes the Lease over."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace, self.fenced = namespace, False
        options = Options(
            registry="depot",
            namespace=namespace.name,
            storage={"filesystem": {"rootdirectory": "/nowhere"}},
            permit={"metadata": {"name": "depot-write-permit"}, "data": {"a": "b"}},
            writer_selector="app.kubernetes.io/component=writer",
        )
        self.api = Slow(namespace, self._take_over)
        self.lease = Lease(self.api, namespace.name, "depot-exclusive", "first", "pod", SECONDS)
        self.warnings: list[str] = []
        self.writers = Writers(self.api, options, self.lease, self.warnings.append)
        self.lease.take(10)

    def _take_over(self) -> None:
        patch = '{"spec":{"holderIdentity":"second"}}'
        self.namespace.kubectl("patch", "lease", "depot-exclusive", "--type=merge", "-p", patch)
        if self.fenced:
            # It brings the writers back first, and makes a fence of its own.
            for count in (1, 0):
                self.namespace.kubectl("scale", "deployment/depot-writer", f"--replicas={count}")


@pytest.fixture
def holder(namespace: Namespace) -> Iterator[Holder]:
    namespace.reset()
    made = Holder(namespace)
    yield made
    made.lease.stop()


@pytest.mark.parametrize("arrives", [False, True], ids=["repeated", "late"])
def test_writers_are_not_started_inside_the_fence_of_another_one(
    namespace: Namespace, holder: Holder, arrives: bool
) -> None:
    """Neither by what is asked again, nor by what was on its way all the time."""
    holder.writers.send_away()
    holder.fenced, holder.api.arrives = True, arrives
    holder.api.kept_back = f"PATCH {holder.writers.path}/scale"
    holder.writers.bring_back(None, 60)
    assert namespace.fence() == (0, False, "second")
    assert any("another holder" in text for text in holder.warnings)


def test_writers_are_not_stopped_by_who_is_too_late(namespace: Namespace, holder: Holder) -> None:
    """They are at work for somebody else."""
    holder.api.kept_back = "DELETE"
    with pytest.raises(FenceLostError):
        holder.writers.send_away()
    assert namespace.fence() == (1, True, "second")
