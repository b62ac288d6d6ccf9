# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container keeps in memory while it works."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.verify.registry import Registry

MIB = 1 << 20
# The name of a pod and of a container in it.
Container = tuple[str, str]
# Prints the memory use of its own container five times a second, for at most three minutes; for cgroup version 1 and 2.
SAMPLING = """
cd /sys/fs/cgroup
[ -d memory ] && cd memory
usage=memory.current
[ -e memory.usage_in_bytes ] && usage=memory.usage_in_bytes
left=900
while [ $left -gt 0 ]; do
  echo "usage $(cat $usage)" && cat memory.stat && echo end || exit 0
  left=$((left - 1))
  sleep 0.2
done
"""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Bytes of one container at one moment.

    anonymous: what the processes allocated. cache: file contents that the kernel may drop at any time.
    working_set: what Kubernetes counts against the limit of the container.
    """

    anonymous: int
    cache: int
    working_set: int


def _sample(values: dict[str, int]) -> Sample:
    # Version 1 has both a value of the group itself and a total_ one with its children.
    anonymous = values.get("total_rss", values.get("anon", 0))
    cache = values.get("total_cache", values.get("file", 0))
    inactive = values.get("total_inactive_file", values.get("inactive_file", 0))
    return Sample(anonymous, cache, max(0, values["usage"] - inactive))


@dataclasses.dataclass
class Recording:
    """All samples of one container; complete after the block that recorded them."""

    samples: list[Sample] = dataclasses.field(default_factory=list)

    def read(self, output: str) -> None:
        """Take the samples out of what SAMPLING printed; a last one that is cut off is dropped."""
        values: dict[str, int] = {}
        for line in output.splitlines():
            if line == "end":
                self.samples.append(_sample(values))
                values = {}
            else:
                name, _space, number = line.partition(" ")
                values[name] = int(number)

    def highest(self, what: str) -> int:
        """Return the highest value that was seen of a field of Sample."""
        return max(int(getattr(sample, what)) for sample in self.samples)

    @property
    def growth(self) -> int:
        """Return by how many bytes the anonymous memory rose above what it was at first."""
        return self.highest("anonymous") - self.samples[0].anonymous

    def __str__(self) -> str:
        """Return the numbers for a report."""
        parts = ", ".join(
            f"{what} {self.highest(what) / MIB:.0f} MiB" for what in ("anonymous", "working_set", "cache")
        )
        return f"highest {parts}; anonymous grew by {self.growth / MIB:.1f} MiB in {len(self.samples)} samples"


@contextmanager
def recording(registry: Registry, containers: list[Container]) -> Iterator[dict[Container, Recording]]:
    """Record the memory of containers while the block runs."""
    processes: dict[Container, subprocess.Popen[str]] = {}
    recordings = {(pod, container): Recording() for pod, container in containers}
    for pod, container in containers:
        shell = ("exec", pod, "-c", container, "--", "/bin/sh", "-c", SAMPLING)
        line = registry.cluster.command("-n", registry.namespace, *shell)
        processes[pod, container] = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        yield recordings
    finally:
        for key, process in processes.items():
            process.terminate()
            recordings[key].read(process.communicate(timeout=30)[0])
