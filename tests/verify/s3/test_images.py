# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images go into a bucket and come back whole, whichever writer and front pod serve a request."""

from __future__ import annotations

import hashlib
import json
import random
import re

import jmespath
import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Answer, Client
from tests.verify.cluster import eventually
from tests.verify.registry import Account, Registry
from tests.verify.s3.store import Store

MIB = 1 << 20
# More than one part of a multipart upload, and not a multiple of one.
CHUNKS = [random.Random(number).randbytes(6 * MIB + 12345) for number in range(3)]
DIGEST = "sha256:" + hashlib.sha256(b"".join(CHUNKS)).hexdigest()


@pytest.fixture(scope="module")
def pushed(client: Client, writer: Account) -> oci.Layout:
    """Return an index of three architectures that is in trips/index:1."""
    layout = oci.index("s3 trips")
    done = client.push(client.put(layout), "trips/index:1", writer)
    assert done.rc == 0, done.stderr
    return layout


@pytest.fixture(scope="module", autouse=True)
def chunks(client: Client) -> None:
    """Bring the parts of a big blob into the pod of the client."""
    for number, body in enumerate(CHUNKS):
        shell = ("exec", "-i", client.pod, "--", "/bin/sh", "-c", f"cat > {WORK}/chunk-{number}")
        client.cluster.kubectl("-n", client.namespace, *shell, stdin=body)


def test_an_index_goes_in_and_out(client: Client, reader: Account, store: Store, pushed: oci.Layout) -> None:
    """Every digest is kept, and what is kept lies in the bucket under the registry's own root."""
    back = client.pull("trips/index:1", f"oci:{WORK}/s3-back:1", reader)
    assert back.rc == 0, back.stderr
    assert client.digests(f"{WORK}/s3-back") == pushed.digests
    registry = client.registry
    root = f"{registry.namespace}/{registry.name}/docker/registry/v2"
    stored = store.keys(f"{root}/blobs/sha256/")
    assert {f"sha256:{key.split('/')[-2]}" for key in stored} >= pushed.digests
    assert all(key.startswith(f"{registry.namespace}/{registry.name}/") for key in store.keys(""))


def test_the_registry_passes_layers_on(client: Client, reader: Account, pushed: oci.Layout) -> None:
    """GET, HEAD and a range are answered without a word about the object store."""
    digest = max(pushed.sizes, key=lambda each: pushed.sizes[each])
    path = f"/v2/trips/index/blobs/{digest}"
    head = client.http(path, "-I", account=reader)
    assert (head.status, head.headers["content-length"]) == (200, str(pushed.sizes[digest]))
    assert "location" not in head.headers
    part = client.http(path, "-r", "0-15", "-o", "/dev/null", account=reader)
    assert (part.status, part.headers["content-length"]) == (206, "16")
    fetch = 'curl -sS -u "$1" "$2" | sha256sum'
    assert client.script(fetch, str(reader), f"http://{client.registry.host}{path}").split()[0] == digest[7:]


def test_a_reader_may_not_push(client: Client, reader: Account, pushed: oci.Layout) -> None:
    """Neither an upload nor a deletion is for an account that only pulls."""
    assert client.http("/v2/trips/index/blobs/uploads/", "-X", "POST", account=reader).status == 401
    path = f"/v2/trips/index/manifests/{pushed.digest}"
    assert client.http(path, "-X", "DELETE", account=reader).status == 401
    assert client.http(path, "-H", f"Accept: {oci.INDEX}", account=reader).status == 200


def writers(registry: Registry) -> list[list[str]]:
    """Return name and address of every writer when all are ready and none is going."""
    pods = registry.find("items[]", "pods", "-l", registry.selector("writer"))
    # One that is going may still be asked, and one that has just come is not known everywhere.
    ready = "[?!(metadata.deletionTimestamp) && status.containerStatuses[0].ready].[metadata.name, status.podIP]"
    found: list[list[str]] = jmespath.search(ready, pods)
    return found if len(found) == len(pods) else []


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
    """POST, PATCH and PUT that reach different writers make one blob."""
    eventually(lambda: len(writers(registry)) == 2, "two writers are ready")
    one, other = writers(registry)
    body = "a layer that two writers have a hand in"
    digest = "sha256:" + hashlib.sha256(body.encode()).hexdigest()
    begun = from_node(registry, writer, one, "POST", "/v2/hands/two/blobs/uploads/")
    assert begun.status == 202, begun
    went_on = from_node(registry, writer, other, "PATCH", begun.headers["location"], body)
    assert went_on.status == 202, went_on
    asked = from_node(registry, writer, one, "GET", went_on.headers["location"])
    assert (asked.status, asked.headers["range"]) == (204, f"0-{len(body) - 1}")
    ended = from_node(registry, writer, one, "PUT", f"{went_on.headers['location']}&digest={digest}")
    assert ended.status == 201, ended
    assert client.http(f"/v2/hands/two/blobs/{digest}", account=reader).body == body


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


def test_an_upload_survives_its_writer(
    registry: Registry, client: Client, writer: Account, reader: Account, store: Store
) -> None:
    """One writer is torn away between two parts of a layer; the client goes on where it was and loses nothing."""
    first = client.http("/v2/hands/torn/blobs/uploads/", "-X", "POST", account=writer)
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
    url = f"http://{registry.host}/v2/hands/torn/blobs/{DIGEST}"
    assert client.script(fetch, str(reader), url).split()[0] == DIGEST[7:]
    assert not [key for key in store.unfinished() if "/hands/torn/" in key]


def test_what_is_deleted_is_gone_at_every_front_pod(
    registry: Registry, client: Client, writer: Account, reader: Account
) -> None:
    """No pod remembers what was: both front pods ask the store each time."""
    layout = oci.image("s3 doomed")
    done = client.push(client.put(layout), "trips/doomed:1", writer)
    assert done.rc == 0, done.stderr
    path = f"/v2/trips/doomed/manifests/{layout.digest}"
    addresses = registry.find("items[].status.podIP", "pods", "-l", registry.selector("front"))
    assert len(addresses) == 2

    def seen() -> set[int]:
        accept = ("-H", f"Accept: {oci.MANIFEST}")
        return {client.http(path, *accept, account=reader, url=f"http://{ip}:8080").status for ip in addresses}

    assert seen() == {200}
    assert client.http(path, "-X", "DELETE", account=writer).status == 202
    assert seen() == {404}


TAGS = ["1", "latest", "v1", "v1.2", "v1.2.3", "v10", "v2"]
REPOSITORIES = ["lists/foo", "lists/foo-bar", "lists/foo/bar", "lists/foo.d", "lists/fo"]


@pytest.fixture(scope="module")
def listed(client: Client, writer: Account) -> None:
    """Push one image under many tags into repositories whose names begin alike."""
    layout = oci.image("s3 lists", layers=1, size=512)
    source = client.put(layout)
    for repository in REPOSITORIES:
        done = client.push(source, f"{repository}:1", writer)
        assert done.rc == 0, done.stderr
    manifest = f"{WORK}/{layout.digest.split(':')[1][:16]}/blobs/sha256/{layout.digest.split(':')[1]}"
    for tag in TAGS:
        options = ("-X", "PUT", "-H", f"Content-Type: {oci.MANIFEST}", "--data-binary", f"@{manifest}")
        assert client.http(f"/v2/lists/foo/manifests/{tag}", *options, account=writer).status == 201


def pages(client: Client, account: Account, path: str, key: str) -> list[str]:
    """Return what a list says on all its pages."""
    found: list[str] = []
    while path:
        answer = client.http(path, account=account)
        assert answer.status == 200, answer
        found += json.loads(answer.body)[key] or []
        path = next(iter(re.findall("<([^>]+)>", answer.headers.get("link", ""))), "")
    return found


@pytest.mark.parametrize("size", ["", "?n=3"])
def test_lists_are_complete(listed: None, client: Client, reader: Account, size: str) -> None:
    """On this object store the release in the lab loses neither a tag nor a repository, on one page or on several."""
    assert sorted(pages(client, reader, f"/v2/lists/foo/tags/list{size}", "tags")) == TAGS
    found = pages(client, reader, f"/v2/_catalog{size}", "repositories")
    assert sorted(name for name in found if name.startswith("lists/")) == sorted(REPOSITORIES)
