# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole program on this machine, against a real store, a real collector and the real API server of the lab."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from tools.paths import ROOT

MAIN = "ansible_collections.homeport.registry.plugins.module_utils._gc_main"
WRITER = {"app.kubernetes.io/component": "writer"}
Document = dict[str, t.Any]
Contents = Callable[[], set[str]]


class Relay:
    """Passes connections on to a server, and can be cut, or hold back whatever it is sent.

    Args:
        host: the server's name or address.
        port: its port.
        slow: how pieces of data begin that are held back on their way, and for how many seconds.
    """

    def __init__(self, host: str, port: int, slow: tuple[bytes, float] = (b"", 0)) -> None:
        self._target, self._slow = (host, port), slow
        self._open: list[socket.socket] = []
        self._cut = False
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flows.wait()
                begins, seconds = self._slow
                if data.startswith(begins):
                    time.sleep(seconds)
                sink.sendall(data)
        except OSError:
            pass
        source.close()
        sink.close()

    def cut(self) -> None:
        """Answer nobody any more."""
        self._cut = True
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open = []

    def hold(self) -> None:
        """Answer nobody any more, and close nothing either: what a network does that loses every packet."""
        self._flows.clear()

    def mend(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._cut = False
        self._flows.set()

    def close(self) -> None:
        self._listener.close()
        self.cut()
        self._flows.set()


class Namespace:
    """A namespace with a writer, its permit, and an account for the collector."""

    def __init__(self, kubeconfig: Path, name: str, folder: Path) -> None:
        self.kubeconfig, self.name, self.account = kubeconfig, name, folder
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self.server = cluster["server"]
        folder.mkdir()
        (folder / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        program = str(ROOT / ".lab" / "bin" / "kubectl")
        command = [program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.name}", *arguments]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=180)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, kind: str, name: str) -> Document:
        found: Document = json.loads(self.kubectl("get", kind, name, "--output=json", "--ignore-not-found") or "{}")
        return found

    def make(self) -> None:
        """Make it, and wait for the writer."""
        container = {
            "name": "registry",
            "image": "homeport.lab/client:1",
            "imagePullPolicy": "Never",
            "command": ["sleep", "infinity"],
            "volumeMounts": [{"name": "permit", "mountPath": "/permit"}],
        }
        pod = {
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "permit", "configMap": {"name": "depot-write-permit"}}],
        }
        template = {"metadata": {"labels": WRITER}, "spec": pod}
        subject = {"kind": "ServiceAccount", "name": "collector", "namespace": self.name}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        items = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "collector"}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "collector"},
                "roleRef": role,
                "subjects": [subject],
            },
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "depot-write-permit"}, "data": {"a": "b"}},
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "depot-writer"},
                "spec": {"replicas": 1, "selector": {"matchLabels": WRITER}, "template": template},
            },
        ]
        self.kubectl("create", "namespace", self.name)
        self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        (self.account / "token").write_text(self.kubectl("create", "token", "collector"))
        self.kubectl("rollout", "status", "deployment/depot-writer", "--timeout=120s")

    def reset(self) -> None:
        """Bring the writer back and forget Lease and report."""
        self.kubectl("delete", "lease,configmap", "depot-exclusive", "depot-gc-report", "--ignore-not-found")
        self.kubectl("scale", "deployment/depot-writer", "--replicas=1")
        permit = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "depot-write-permit"}}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(permit))

    def report(self) -> Document:
        """Return the report in the cluster."""
        found: Document = json.loads(self.get("configmap", "depot-gc-report")["data"]["report.json"])
        return found

    def fence(self) -> tuple[int, bool, str]:
        """Return the number of writers, whether the permit is there, and who holds the Lease."""
        lease = self.get("lease", "depot-exclusive")
        return (
            self.get("deployment", "depot-writer")["spec"]["replicas"],
            bool(self.get("configmap", "depot-write-permit")),
            (lease.get("spec") or {}).get("holderIdentity") or "",
        )


@dataclasses.dataclass
class Run:
    """One start of the program in a process group of its own, as a container is one."""

    process: subprocess.Popen[str]

    def end(self, seconds: float = 120) -> tuple[int, Document, str]:
        """Wait for its end; return exit status, the report that it printed, and its log."""
        output, _nothing = self.process.communicate(timeout=seconds)
        last = output.strip().splitlines()[-1] if output.strip() else ""
        report = json.loads(last.removeprefix("report: ")) if last.startswith("report: ") else {}
        return self.process.returncode, report, output

    def stop(self, number: int) -> None:
        """Send a signal: SIGKILL to all of it, as when a container dies, others to the program alone."""
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def collector(self) -> Path:
        """Return where the kernel tells of the program that deletes."""
        children = " ".join(one.read_text() for one in Path("/proc", str(self.process.pid), "task").glob("*/children"))
        (found,) = (one for one in children.split() if b"garbage-collect" in Path("/proc", one, "cmdline").read_bytes())
        return Path("/proc", found)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let all of it stand still while a with block runs, as a container on a node that does."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen_amid_deletions(self, contents: Contents, seconds: float) -> Iterator[set[str]]:
        """Let all of it stand still so long once something is gone; yield what the store has then.

        Args:
            contents: asks the store which blobs it has.
            seconds: how long, for which nothing may happen.
        """
        end, number = time.monotonic() + 120, len(contents())
        while len(contents()) == number:
            assert self.process.poll() is None, self.end()[2]
            assert time.monotonic() < end
            time.sleep(0.02)
        with self.frozen():
            # What the kernel was given before arrives all the same.
            time.sleep(1)
            left = contents()
            time.sleep(seconds)
            assert contents() == left
            yield left

    def has_stood_still(self, namespace: Namespace) -> None:
        """Expect that it ends because of that, and that everybody can push again."""
        code, report, log = self.end(120)
        assert (code, report["outcome"], report["step"]) == (11, "failed", "collect"), log
        assert "stood still" in report["reason"], report
        assert namespace.fence() == (1, True, "")


class Engine:
    """Starts the program with a registry that does something first when it really collects."""

    def __init__(self, namespace: Namespace, root: Path, folder: Path) -> None:
        self.namespace, self.root, self.folder = namespace, root, folder
        folder.mkdir()
        self.waiting = folder / "waiting"
        self.go = folder / "go"
        self.runs: list[Run] = []

    def start(
        self, script: str = "", *, job: str = "job", url: str = "", real: Path | None = None, **options: t.Any
    ) -> Run:
        """Start it; the script runs before the real registry program, the lab's by default, deletes anything."""
        real = real or ROOT / ".lab" / "bin" / "registry"
        binary = self.folder / "registry"
        case = f'case "$*" in *--dry-run*) ;; garbage-collect*)\n{script or ":"}\n;; esac'
        binary.write_text(f'#!/bin/sh\n{case}\nexec {real} "$@"\n')
        binary.chmod(0o755)
        document = {
            "registry": "depot",
            "namespace": self.namespace.name,
            "storage": {"filesystem": {"rootdirectory": str(self.root)}},
            "permit": {"metadata": {"name": "depot-write-permit"}, "data": {"a": "b"}},
            "writer_selector": "app.kubernetes.io/component=writer",
            "ceiling": {"share": 100},
            "binary": str(binary),
            "scratch": str(self.folder),
            "api": url or self.namespace.server,
            "account": str(self.namespace.account),
            **options,
        }
        path = self.folder / "options.json"
        path.write_text(json.dumps(document))
        environ = {**os.environ, "JOB_NAME": job, "JOB_UID": f"uid-of-{job}", "POD_NAME": f"pod-{len(self.runs)}"}
        process = subprocess.Popen(
            [sys.executable, "-m", MAIN, str(path)],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.runs.append(Run(process))
        return self.runs[-1]

    def pausing(self) -> str:
        """Return a script that says that it waits, and waits for a file."""
        said = f"echo $$ > {self.waiting}.new; mv {self.waiting}.new {self.waiting}"
        return f"{said}; while [ ! -e {self.go} ]; do sleep 0.1; done"

    def wait_until_it_waits(self, run: Run, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.waiting.exists():
            assert run.process.poll() is None, run.end()[2]
            assert time.monotonic() < end
            time.sleep(0.05)

    def wait_until_it_stands_still(self, seconds: float) -> None:
        """Wait until what waits is stopped by a signal, or has ended."""
        end = time.monotonic() + seconds
        stat = Path("/proc", self.waiting.read_text().strip(), "stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "TZ":
            assert time.monotonic() < end, f"it still runs after {seconds} seconds"
            time.sleep(0.05)

    def close(self) -> None:
        """End what is still running."""
        self.go.touch()
        for run in self.runs:
            if run.process.poll() is None:
                run.stop(signal.SIGKILL)
                run.process.wait()
