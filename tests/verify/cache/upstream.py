# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that can be cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.verify.cluster import eventually
from tests.verify.registry import Registry


class Upstream(Registry):
    """A registry without accounts that forgets its images when it stops."""

    def set_replicas(self, replicas: int) -> None:
        """Run it, or stop it and wait until its last pod is gone."""
        self.kubectl("scale", f"deployment/{self.name}", f"--replicas={replicas}")
        if replicas:
            self.wait_ready(self.name)
        else:
            eventually(lambda: not self.find("items[]", "pods"), "the upstream is gone")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stop it while the block runs."""
        self.set_replicas(0)
        try:
            yield
        finally:
            self.set_replicas(1)
