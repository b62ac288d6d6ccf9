# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove an object store by the registry's own driver, from inside a pod: write, read, list and delete.

A registry is started on the store for nobody but this program. An upload is begun, continued and cancelled, which needs
all rights that a registry needs and leaves no data behind. What goes wrong is said in a few lines: what was tried, from
where, what came back, and what to do. Needs nothing but the standard library of Python 3.9.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

PROGRAM = "/work/registry"
CONFIG = "/etc/registry/probe/config.yml"
LOG = "/work/log"
ADDRESS = ("127.0.0.1", 5000)
UPLOADS = "/v2/homeport/probe/blobs/uploads/"
FIRST, SECOND = b"one " * 4096, b"two " * 4096
# A line of the report; what shows it cuts longer ones.
WIDTH = 280

# Words of an answer and what helps, the first that fits; {…} are settings.
REMEDIES = (
    (r"NoSuchBucket|ContainerNotFound|bucket does(n't| not) exist", "Make the bucket {bucket}, or correct its name."),
    (
        r"InvalidAccessKeyId|access key.* does not exist",
        "The store does not know this access key. Correct the credentials, or the endpoint they are for.",
    ),
    (
        r"SignatureDoesNotMatch|AuthenticationFailed|invalid_grant",
        "The secret key does not belong to the access key. Correct the credentials.",
    ),
    (
        r"RequestTimeTooSkewed|RequestExpired|AccessTokenExpired",
        "The clock of node {node} and that of the store differ too much. Set the clocks.",
    ),
    (
        "AuthorizationHeaderMalformed|BucketRegionError|PermanentRedirect|MovedPermanently|invalid region",
        "The region is not that of the bucket. Correct it; what came back may name the right one.",
    ),
    (
        "NoCredentialProviders|no EC2 IMDS role|could not find default credentials|DefaultAzureCredential",
        "There are no credentials: no values, no Secret, and the platform gives the pod's account no identity.",
    ),
    (
        r"x509|certificate|tls:",
        "The certificate of {endpoint} is not trusted. Put the CA that signed it into registry_storage_ca.",
    ),
    (
        r"HTTP response to HTTPS client|malformed HTTP",
        "The port speaks the other one of http and https. Correct the endpoint.",
    ),
    (
        r"no such host|Name or service|lookup .* on ",
        "The name cannot be resolved in the cluster. Correct the endpoint, or the DNS.",
    ),
    (
        "AccessDenied|Forbidden|AuthorizationPermissionMismatch|status code: 403",
        "The credentials may not do this. A registry gets, puts, deletes and lists objects and uploads under {root}.",
    ),
    (
        "refused|timed out|timeout|deadline|unreachable|no route|reset by peer|EOF",
        "The endpoint cannot be reached from the pod. Correct it, or let egress rules and firewalls allow it.",
    ),
)


class Failed(Exception):
    """Something that was tried did not work: what, and what came back."""

    def __init__(self, tried: str, answer: str) -> None:
        super().__init__(tried, answer)
        self.tried, self.answer = tried, answer


def remedy(answer: str, facts: Mapping[str, str]) -> str:
    """Return what to do about an answer."""
    for words, text in REMEDIES:
        if re.search(words, answer, re.IGNORECASE):
            return text.format(**facts)
    return "Look at the log of the store for this moment."


def report(failure: Failed, facts: Mapping[str, str]) -> list[str]:
    """Return the lines that say what failed; none is too long to be shown."""
    where = f"{facts['driver']}, bucket {facts['bucket']}, root {facts['root'] or '(none)'}, at {facts['endpoint']}"
    lines = [
        "The object store cannot be used, and nothing that runs was changed.",
        f"tried: {failure.tried}, {where}",
        f"from: pod {facts['pod']} on node {facts['node']}",
        f"came back: {failure.answer}",
        f"to do: {remedy(failure.answer, facts)}",
    ]
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..." for line in lines]


def cause(log: str) -> str:
    """Return what the driver said last in the registry's log, or the last line that is no JSON, as of a crash."""
    said, last = "", ""
    for line in filter(None, map(str.strip, log.splitlines())):
        try:
            entry = json.loads(line)
        except ValueError:
            last = last or line if line.startswith("panic:") else last
            continue
        if not isinstance(entry, dict):
            continue
        for key in ("err.detail", "err.message", "error", "msg"):
            if entry.get(key):
                said = str(entry[key])
                break
    # The address of a request is longer than a line, and says nothing that the report does not say.
    return " ".join(re.sub(r'\b[A-Z][a-z]+ "https?://[^"]*": ', "", last or said).split())


def wait_reachable(endpoint: str, deadline: float) -> None:
    """Wait until the endpoint takes connections: a policy that allows it may take a moment to be in force."""
    parts = urlsplit(endpoint)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    until = min(deadline, time.monotonic() + 12)
    while True:
        try:
            socket.create_connection((parts.hostname or "", port), timeout=5).close()
        except OSError as error:
            if time.monotonic() > until:
                raise Failed(f"to connect to {parts.hostname}, port {port}", str(error)) from None
            time.sleep(1)
        else:
            return


class Registry:
    """A registry on the store, and the one client it has."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        with open(LOG, "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "serve", CONFIG], stdout=log, stderr=log)

    def log(self) -> str:
        """Return what it has said so far."""
        with open(LOG, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_started(self) -> None:
        """Wait until it takes connections."""
        while True:
            if self.process.poll() is not None:
                raise Failed(
                    "to start a registry on the store", cause(self.log()) or f"exit code {self.process.returncode}"
                )
            try:
                socket.create_connection(ADDRESS, timeout=1).close()
            except OSError:
                if time.monotonic() > self.deadline:
                    raise Failed("to start a registry on the store", "it did not answer in time") from None
                time.sleep(0.1)
            else:
                return

    def ask(
        self, what: str, method: str, path: str, status: int, body: bytes = b"", **headers: str
    ) -> Mapping[str, str]:
        """Send a request that must be answered by this status; return the headers of the answer."""
        left = self.deadline - time.monotonic()
        connection = http.client.HTTPConnection(*ADDRESS, timeout=max(left, 1))
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Content-Type": "application/octet-stream", **sent})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except OSError as error:
            raise Failed(what, cause(self.log()) or f"no answer in time ({error})") from None
        finally:
            connection.close()
        if answer.status != status:
            raise Failed(what, cause(self.log()) or f"{answer.status} {text}")
        return {name.lower(): value for name, value in answer.getheaders()}

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def prove(registry: Registry) -> None:
    """Begin, continue and cancel an upload. Raises Failed."""
    registry.wait_started()
    begun = registry.ask("to begin an upload (write)", "POST", UPLOADS, 202)
    place = begun["location"]
    first = f"0-{len(FIRST) - 1}"
    written = registry.ask("to write a part", "PATCH", place, 202, FIRST, Content_Range=first)
    place = written["location"]
    # What was written is read here: when the upload began, its parts, and the state of the digest.
    more = f"{len(FIRST)}-{len(FIRST) + len(SECOND) - 1}"
    went_on = registry.ask("to read back and go on", "PATCH", place, 202, SECOND, Content_Range=more)
    registry.ask("to cancel the upload (list and delete)", "DELETE", went_on["location"], 204)


def main() -> int:
    """Prove the store that the environment describes; return the exit code."""
    given = json.loads(os.environ["PROBE"])
    facts = {**given, "pod": os.environ.get("POD", "?"), "node": os.environ.get("NODE", "?")}
    deadline = time.monotonic() + float(given["seconds"])
    registry = None
    try:
        wait_reachable(given["endpoint"], deadline)
        registry = Registry(deadline)
        prove(registry)
    except Failed as failure:
        print("\n".join(report(failure, facts)), flush=True)
        return 1
    finally:
        if registry is not None:
            registry.stop()
    print(f"proven: {facts['driver']}, bucket {facts['bucket']}, root {facts['root']}, at {facts['endpoint']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
