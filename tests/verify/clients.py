# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of a registry: pods in another namespace, with skopeo and curl."""

from __future__ import annotations

import dataclasses
import json
import string
import subprocess
import typing as t
import uuid
from collections.abc import Mapping
from pathlib import Path

from testinfra.backend.base import CommandResult

from tests.verify.cluster import SOON, Cluster, eventually
from tests.verify.oci import Layout
from tests.verify.registry import Account, Registry

WORK = "/work"

HERE = Path(__file__).parent
PULL_LOOP = (HERE / "pull-loop.sh").read_text(encoding="utf-8")
# Some 200 kB a second for 5 MiB, where curl would read by the megabyte and pause. $1 is made when it has begun.
SLOWLY = """
begun=$1; shift
curl -sS --max-time 60 "$@" |
  { head -c 65536; : > "$begun"; for part in $(seq 79); do sleep 0.3; head -c 65536; done; cat; } | sha256sum
"""
RANDOM_LAYOUT = (HERE / "random-layout.sh").read_text(encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer. status 0: there was none, and body says why. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: str


class Client:
    """A pod that uses a registry."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str, registry: Registry) -> None:
        """Take a running pod with skopeo, curl, tar and a writable /work."""
        self.cluster, self.namespace, self.pod, self.registry = cluster, namespace, pod, registry
        self.host = cluster.inside(namespace, pod, "client")

    def run(self, command: str, *args: str) -> CommandResult:
        """Run a shell command; %s takes a quoted argument."""
        return self.host.run(command, *args)

    def start(self, script: str, *args: str) -> subprocess.Popen[str]:
        """Start a shell script whose arguments are $1, $2 and so on; its output can be read from the process."""
        shell = ("exec", "-i", self.pod, "--", "/bin/sh", "-c", script, "sh", *args)
        line = self.cluster.command("-n", self.namespace, *shell)
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def script(self, script: str, *args: str, timeout: float = 120) -> str:
        """Run a shell script and return its output. Raises AssertionError with the output when it fails."""
        process = self.start(script, *args)
        output, _unused = process.communicate(timeout=timeout)
        assert process.returncode == 0, output
        return output.strip()

    def http(self, path: str, *options: str, account: Account | None = None, url: str | None = None) -> Answer:
        """Send one request to the registry, or to another base URL, with more options of curl."""
        words = ["curl", "-sS", "--path-as-is", "--connect-timeout", "4", "--max-time", "60", "-D", "/dev/stderr"]
        if account:
            words += ["-u", str(account)]
        words += [*options, (url or f"http://{self.registry.host}") + path]
        done = self.run(" ".join(["%s"] * len(words)), *words)
        blocks = [block for block in done.stderr.replace("\r\n", "\n").split("\n\n") if "HTTP/" in block]
        if not blocks:
            return Answer(0, {}, done.stderr.strip() or f"curl ended with {done.rc}")
        # The last block is the answer; the ones before it said 100 Continue.
        lines = blocks[-1][blocks[-1].index("HTTP/") :].splitlines()
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        return Answer(int(lines[0].split()[1]), {key.lower(): value for key, value in headers.items()}, done.stdout)

    def wait_open(self, *, seconds: float = 20) -> None:
        """Wait until reader and writer ask for a password.

        A Service leads to a new pod only some moments after that is ready. Until then a connection may fail, since its
        address is refused or leads to a pod that is gone (curl's error 7), but no request may hang (error 28).
        """

        def open_now() -> bool:
            answers = [
                self.http("/v2/", "--max-time", "8"),
                self.http("/v2/any/blobs/uploads/", "-X", "POST", "--max-time", "8"),
            ]
            assert all(answer.status in (401, 503) or "curl: (7)" in answer.body for answer in answers), answers
            return all(answer.status == 401 for answer in answers)

        eventually(open_now, "both parts of the registry ask for a password", seconds=seconds)

    def put(self, layout: Layout) -> str:
        """Copy a layout into the pod and return its name for skopeo."""
        folder = f"{WORK}/{layout.digest.split(':')[1][:16]}"
        unpack = f"mkdir -p {folder} && tar -x -C {folder}"
        shell = ("exec", "-i", self.pod, "--", "/bin/sh", "-c", unpack)
        self.cluster.kubectl("-n", self.namespace, *shell, stdin=layout.archive)
        return f"oci:{folder}:{layout.tag}"

    def random(self, name: str, size: int) -> tuple[str, str]:
        """Make an image of one layer of so many random bytes in the pod; return its name for skopeo and its digest."""
        digest = self.script(RANDOM_LAYOUT, f"{WORK}/{name}", str(size), "1")
        return f"oci:{WORK}/{name}:1", digest

    def skopeo(self, *words: str) -> CommandResult:
        """Run skopeo."""
        return self.run(" ".join(["skopeo", "--insecure-policy", *["%s"] * len(words)]), *words)

    def reference(self, repository: str) -> str:
        """Return the name of a repository, with its tag or digest, for skopeo."""
        return f"docker://{self.registry.host}/{repository}"

    def push(self, source: str, repository: str, account: Account | None) -> CommandResult:
        """Push an image or index with every digest as it is."""
        options = ("copy", "--all", "--preserve-digests", "--dest-tls-verify=false")
        return self.skopeo(*options, *_credentials("dest", account), source, self.reference(repository))

    def pull(self, repository: str, target: str, account: Account | None) -> CommandResult:
        """Pull an image or index; skopeo checks every digest on the way."""
        options = ("copy", "--all", "--preserve-digests", "--src-tls-verify=false")
        return self.skopeo(*options, *_credentials("src", account), self.reference(repository), target)

    def pull_slowly(self, url: str, account: Account | None) -> subprocess.Popen[str]:
        """Begin to fetch a blob of 5 MiB for half a minute; the process prints the SHA-256 of what came."""
        begun = f"{WORK}/begun-{uuid.uuid4()}"
        process = self.start(SLOWLY, begun, *(["-u", str(account)] if account else []), url)
        self.script('until [ -e "$1" ]; do sleep 0.1; done', begun)
        return process

    def digests(self, folder: str) -> frozenset[str]:
        """Return the digests of all blobs of a layout in the pod, computed from their bytes."""
        listed = self.script('cd "$1/blobs/sha256" && sha256sum *', folder)
        pairs = [line.split() for line in listed.splitlines()]
        assert all(digest == name for digest, name in pairs), listed
        return frozenset(f"sha256:{digest}" for digest, _name in pairs)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what a process prints up to the line with this text. Raises AssertionError when it never comes."""
    said = ""
    for line in process.stdout or ():
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended before it said {text!r}: {said}")


def _credentials(side: t.Literal["src", "dest"], account: Account | None) -> tuple[str, ...]:
    return (f"--{side}-creds", str(account)) if account else (f"--{side}-no-creds",)


class PullLoop:
    """A client that fetches URLs without a pause while a with block runs, and all of them once before and after.

    Afterwards, count is the number of requests and failures lists what was not answered whole by 200,
    as "curl 7 HTTP 000": curl's exit status, which is 0 for a whole answer, and the status of the answer.
    """

    def __init__(self, client: Client, account: Account, *urls: str) -> None:
        """Take the URLs of manifests and blobs."""
        self.client, self.account, self.urls = client, account, urls
        self.stop = f"{WORK}/stop-{uuid.uuid4()}"
        self.count, self.failures = 0, list[str]()

    def __enter__(self) -> None:
        """Start, and wait until everything has been fetched once."""
        self.process = self.client.start(PULL_LOOP, str(self.account), self.stop, *self.urls)
        self.client.script('until [ -e "$1" ]; do sleep 0.1; done', f"{self.stop}.begun")

    def __exit__(self, *_exception: object) -> None:
        """Stop, and read what happened."""
        self.client.script('touch "$1"', self.stop)
        output, _unused = self.process.communicate(timeout=60)
        *self.failures, count = output.splitlines()
        self.count = int(count)


def start_clients(
    cluster: Cluster, namespace: str, image: str, pull_policy: str, host_aliases: Mapping[str, str] | None = None
) -> None:
    """Make the client pods, or keep the ones that run; host_aliases are addresses by host name."""
    manifest = string.Template((HERE / "clients.yml").read_text(encoding="utf-8"))
    aliases = [{"ip": address, "hostnames": [name]} for name, address in (host_aliases or {}).items()]
    filled = manifest.substitute(
        namespace=namespace, image=image, pull_policy=pull_policy, host_aliases=json.dumps(aliases)
    )
    cluster.kubectl("apply", "-f", "-", stdin=filled)
    cluster.kubectl("-n", namespace, "wait", "pod", "--all", "--for=condition=Ready", f"--timeout={SOON:g}s")
