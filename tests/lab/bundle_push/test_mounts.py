# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry that mounts nothing from one repository into another, and deltas that count on what it has."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from tests.lab.inventory.images import Store
from tests.unit.bundle.writer import Writer, digest_of

from .conftest import fill, noise
from .proxy import Proxy
from .test_push import is_whole, statuses

ONE, TWO = "docker.io/library/one:1", "docker.io/library/two:1"
SHARED = noise(20, 12 << 20)
OWN = noise(21)


@pytest.fixture
def proxy(server):
    """A proxy that lets no mount pass."""
    made = Proxy(server.port)
    made.no_mounts = True
    yield made
    made.stop()


@pytest.fixture
def delta(push, tmp_path, key):
    """A delta with an image that shares a layer with one of before, in a repository of its own; the parent is there."""
    old = Writer()
    old.image(ONE, old.manifest(SHARED))
    assert push(old.write(tmp_path / "parent", key))["complete"] is True
    writer = Writer(version="2", parent={"name": "platform", "version": "1", "sha256": digest_of(old.document())[7:]})
    writer.places[digest_of(SHARED)] = 0
    writer.image(TWO, writer.manifest(SHARED, OWN))
    return writer, writer.write(tmp_path / "delta", key)


def test_what_is_not_mounted_is_sent(push, proxy, session, tmp_path, key):
    writer = fill(Writer())
    result = push(writer.write(tmp_path / "in", key), url=proxy.url)
    assert result["complete"] is True, result
    assert result["totals"]["mounted"] == 0
    assert result["totals"]["sent"] > sum(writer.sizes[digest_of(noise(number))] for number in range(2, 7))
    is_whole(session, writer)


@pytest.mark.parametrize("chunk", [0, 5 << 20])
def test_what_only_the_registry_has_is_copied(push, proxy, session, delta, chunk):
    writer, paths = delta
    assert push(paths, url=proxy.url, check=True)["complete"] is True
    result = push(paths, url=proxy.url, chunk_size=chunk)
    assert result["complete"] is True, result
    sent = sum(size for digest, size in writer.sizes.items() if digest not in writer.manifests)
    assert (result["totals"]["sent"], result["totals"]["mounted"]) == (sent, 0)
    assert proxy.largest == (chunk or len(SHARED))
    pieces = client.stream_blob(session, "docker.io/library/two", digest_of(SHARED))
    assert digest_of(b"".join(pieces)) == digest_of(SHARED)
    assert client.head_manifest(session, "docker.io/library/two", "1").digest == writer.images[TWO]["digest"]
    again = push(paths, url=proxy.url)
    assert (again["changed"], again["totals"]["wire"]) == (False, 0)


def test_a_copy_goes_on_after_connections_that_break(push, proxy, session, delta):
    writer, paths = delta
    proxy.cut_after = 5 << 20
    result = push(paths, url=proxy.url)
    assert result["complete"] is True, result
    assert len(SHARED) + len(OWN) < result["totals"]["wire"] < 2 * len(SHARED)
    assert client.head_manifest(session, "docker.io/library/two", "1").digest == writer.images[TWO]["digest"]


@pytest.mark.parametrize("first_piece", [True, False])
def test_a_copy_is_compared_on_the_way(push, proxy, session, delta, tmp_path, first_piece):
    """The registry serves other bytes than it took in: named, and nothing points to them."""
    _writer, paths = delta
    path = Store(tmp_path / "store").blob(digest_of(SHARED))
    content = bytearray(path.read_bytes())
    content[1000 if first_piece else -1000] ^= 1
    path.write_bytes(content)
    result = push(paths, url=proxy.url)
    assert result["failed"]
    assert statuses(result) == {TWO: "failed"}
    (problem,) = [one["problem"] for one in result["images"]]
    assert f"copy the blob {digest_of(SHARED)} to docker.io/library/two" in problem
    assert f"docker.io/library/one: the content is {digest_of(bytes(content))}" in problem
    assert "push a bundle that is no delta" in problem
    assert "docker.io/library/two" not in client.list_repositories(session)


@pytest.mark.usefixtures("delta")
def test_another_repository_is_tried(push, proxy, tmp_path, key):
    """One repository does not give what it seemed to have."""
    other = Writer(name="other")
    other.image("quay.io/somewhere/else:9", other.manifest(SHARED))
    assert push(other.write(tmp_path / "other", key))["complete"] is True
    # Both bundles in one, so that both repositories are looked at.
    both = Writer(version="3", parent={"name": "platform", "version": "1", "sha256": "0" * 64})
    both.places[digest_of(SHARED)] = 0
    both.image(ONE, both.manifest(SHARED))
    both.image("quay.io/somewhere/else:9", both.manifest(SHARED))
    both.image(TWO, both.manifest(SHARED, OWN))
    lost = Refusing(proxy, b"/v2/docker.io/library/one/blobs/")
    result = push(both.write(tmp_path / "both", key), url=lost.url)
    lost.stop()
    assert result["complete"] is True, result
    assert lost.refusals


class Refusing(Proxy):
    """A proxy that answers 404 to whoever reads a whole content below a path."""

    def __init__(self, behind: Proxy, path: bytes) -> None:
        super().__init__(int(behind.url.rpartition(":")[2]))
        self._path = path
        self.refusals = 0

    def _exchange(self, client, stream, server, head, left):
        if head.startswith(b"GET " + self._path) and b"\r\nRange:" not in head:
            self.refusals += 1
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return left
        return super()._exchange(client, stream, server, head, left)
