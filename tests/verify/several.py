# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two front pods and two writers on one store: tests for the scenarios that import them."""

from __future__ import annotations

import hashlib
import random

import jmespath
import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Answer, Client
from tests.verify.cluster import eventually
from tests.verify.registry import Account, Registry

MIB = 1 << 20
# More than one part of a multipart upload, and not a multiple of one.
CHUNKS = [random.Random(number).randbytes(6 * MIB + 12345) for number in range(3)]
DIGEST = "sha256:" + hashlib.sha256(b"".join(CHUNKS)).hexdigest()
# Where the last of these tests uploads to.
TORN = "hands/torn"


@pytest.fixture(scope="module")
def chunks(client: Client) -> None:
    """Bring the parts of a big blob into the pod of the client."""
    for number, body in enumerate(CHUNKS):
        shell = ("exec", "-i", client.pod, "--", "/bin/sh", "-c", f"cat > {WORK}/chunk-{number}")
        client.cluster.kubectl("-n", client.namespace, *shell, stdin=body)


def writers(registry: Registry) -> list[list[str]]:
    """Return name and address of every writer when all are ready and none is going."""
    pods = registry.find("items[]", "pods", "-l", registry.selector("writer"))
    # One that is going may still be asked, and one that has just come is not known everywhere.
    ready = "[?!(metadata.deletionTimestamp) && status.containerStatuses[0].ready].[metadata.name, status.podIP]"
    found: list[list[str]] = jmespath.search(ready, pods)
    return found if len(found) == len(pods) else []


def fronts(registry: Registry) -> list[str]:
    """Return the address of both front pods, once none of an earlier rollout is left."""
    registry.wait_ready(registry.name)
    address = "items[].status.podIP"

    def both() -> list[str]:
        found: list[str] = registry.find(address, "pods", "-l", registry.selector("front"))
        return found if len(found) == 2 else []

    return eventually(both, "there are two front pods")


def from_node(registry: Registry, account: Account, pod: list[str], method: str, path: str, body: str = "") -> Answer:
    """Send a request to one writer from its own node, which no policy keeps out."""
    node = registry.cluster.node_of(registry.namespace, pod[0])
    data = ["-H", "Content-Type: application/octet-stream", "--data-binary", body] if body else []
    words = ["curl", "-sS", "-u", str(account), "-X", method, "-D", "/dev/stderr", *data, f"http://{pod[1]}:5000{path}"]
    done = node.run(" ".join(["%s"] * len(words)), *words)
    blocks = [block for block in done.stderr.replace("\r\n", "\n").split("\n\n") if "HTTP/" in block]
    assert blocks, done.stderr
    lines = blocks[-1][blocks[-1].index("HTTP/") :].splitlines()
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    return Answer(int(lines[0].split()[1]), {key.lower(): value for key, value in headers.items()}, done.stdout)


def test_an_upload_may_change_writers(registry: Registry, client: Client, writer: Account, reader: Account) -> None:
    """POST, PATCH and PUT that reach different writers in turn make one blob."""
    eventually(lambda: len(writers(registry)) == 2, "two writers are ready")
    one, other = writers(registry)
    parts = ["a layer that ", "two writers ", "have a hand in"]
    digest = "sha256:" + hashlib.sha256("".join(parts).encode()).hexdigest()
    answer = from_node(registry, writer, one, "POST", "/v2/hands/two/blobs/uploads/")
    assert answer.status == 202, answer
    for number, part in enumerate(parts):
        takes, asked = (one, other) if number % 2 else (other, one)
        answer = from_node(registry, writer, takes, "PATCH", answer.headers["location"], part)
        assert answer.status == 202, answer
        answer = from_node(registry, writer, asked, "GET", answer.headers["location"])
        assert (answer.status, answer.headers["range"]) == (204, f"0-{len(''.join(parts[: number + 1])) - 1}")
    ended = from_node(registry, writer, one, "PUT", f"{answer.headers['location']}&digest={digest}")
    assert ended.status == 201, ended
    assert client.http(f"/v2/hands/two/blobs/{digest}", account=reader).body == "".join(parts)


def send(client: Client, account: Account, place: str, method: str, *options: str) -> Answer:
    """Send a part of an upload until it is taken.

    The address of a writer that is gone may be tried once more; the gate then says when to come back.
    """
    answers = []

    def taken() -> bool:
        answers.append(client.http(place, "-X", method, "-H", "Expect:", *options, account=account))
        return answers[-1].status != 503

    eventually(taken, f"{method} is taken", every=1)
    return answers[-1]


def test_what_is_deleted_is_gone_at_every_front_pod(
    registry: Registry, client: Client, writer: Account, reader: Account
) -> None:
    """No pod remembers what was: both front pods ask the store each time."""
    layout = oci.image("doomed")
    done = client.push(client.put(layout), "hands/doomed:1", writer)
    assert done.rc == 0, done.stderr
    path = f"/v2/hands/doomed/manifests/{layout.digest}"
    addresses = fronts(registry)

    def seen() -> set[int]:
        accept = ("-H", f"Accept: {oci.MANIFEST}")
        return {client.http(path, *accept, account=reader, url=f"http://{ip}:8080").status for ip in addresses}

    assert seen() == {200}
    assert client.http(path, "-X", "DELETE", account=writer).status == 202
    assert seen() == {404}


def test_an_upload_survives_its_writer(
    registry: Registry, client: Client, writer: Account, reader: Account, chunks: None
) -> None:
    """One writer is torn away between two parts of a layer; the client goes on where it was and loses nothing."""
    first = client.http(f"/v2/{TORN}/blobs/uploads/", "-X", "POST", account=writer)
    assert first.status == 202, first
    place, sent = first.headers["location"], 0
    for number, body in enumerate(CHUNKS):
        if number == 1:
            registry.kubectl("delete", "pod", registry.pod("writer"), "--force", "--grace-period=0")
        headers = ("Content-Type: application/octet-stream", f"Content-Range: {sent}-{sent + len(body) - 1}")
        options = ("-H", headers[0], "-H", headers[1], "--data-binary", f"@{WORK}/chunk-{number}")
        answer = send(client, writer, place, "PATCH", *options)
        assert answer.status == 202, answer
        place = answer.headers["location"]
        sent += len(body)
    ended = send(client, writer, f"{place}&digest={DIGEST}", "PUT")
    assert ended.status == 201, ended
    fetch = 'curl -sS -u "$1" "$2" | sha256sum'
    url = f"http://{registry.host}/v2/{TORN}/blobs/{DIGEST}"
    assert client.script(fetch, str(reader), url).split()[0] == DIGEST[7:]
