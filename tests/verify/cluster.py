# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as the tests see it: kubectl to read and disturb, JMESPath to ask, pytest-testinfra to look inside."""

from __future__ import annotations

import json
import subprocess
import time
import typing as t
from collections.abc import Callable

import jmespath
import testinfra
from testinfra.host import Host

T = t.TypeVar("T")
SOON = 60.0


class NotYetError(AssertionError):
    """Something did not come true in time; the message holds what was seen last."""


def eventually(probe: Callable[[], T], what: str, *, seconds: float = SOON, every: float = 0.3) -> T:
    """Return the first true value of the probe. Raises NotYetError after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise NotYetError(f"not within {seconds:g} s: {what}; last seen: {seen!r}")
        time.sleep(every)


class Cluster:
    """A cluster by its kubeconfig."""

    def __init__(self, kubeconfig: str) -> None:
        """Take the path of a kubeconfig whose current context may do everything."""
        self.kubeconfig = kubeconfig

    def command(self, *args: str) -> list[str]:
        """Return the kubectl command line with these arguments."""
        return ["kubectl", f"--kubeconfig={self.kubeconfig}", *args]

    def kubectl(self, *args: str, stdin: str | bytes | None = None, check: bool = True, timeout: float = 180) -> str:
        """Run kubectl and return its output; with check=False the error output is part of it.

        Raises AssertionError with the error output when it fails, subprocess.TimeoutExpired when it hangs.
        """
        body = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(self.command(*args), input=body, check=False, capture_output=True, timeout=timeout)
        output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if not check:
            return output + errors
        assert done.returncode == 0, f"kubectl {' '.join(args)} failed: {errors or output}"
        return output

    def apply(self, *manifests: dict[str, t.Any]) -> None:
        """Apply objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def find(self, expression: str, *args: str) -> t.Any:
        """Return what a JMESPath expression finds in the JSON that `kubectl get` prints for these arguments."""
        return jmespath.search(expression, json.loads(self.kubectl("get", *args, "-o", "json")))

    def inside(self, namespace: str, pod: str, container: str) -> Host:
        """Return the testinfra host of a container."""
        return testinfra.get_host(
            f"kubectl://{pod}?namespace={namespace}&container={container}&kubeconfig={self.kubeconfig}"
        )

    def node_of(self, namespace: str, pod: str) -> Host:
        """Return the testinfra host of the node that runs a pod: in kind a node is a container of the same name."""
        return testinfra.get_host(f"docker://{self.find('spec.nodeName', 'pod', pod, '-n', namespace)}")

    def process_of(self, namespace: str, pod: str, container: str) -> int:
        """Return the process id, on the node, of the first process of a container."""
        path = (
            f"[status.containerStatuses, status.initContainerStatuses][][] | [?name=='{container}'].containerID | [0]"
        )
        identity = str(self.find(path, "pod", pod, "-n", namespace)).removeprefix("containerd://")
        shown = self.node_of(namespace, pod).run("crictl inspect %s", identity)
        assert shown.rc == 0, shown.stderr
        return int(jmespath.search("info.pid", json.loads(shown.stdout)))
