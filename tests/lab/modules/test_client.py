# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client against a real registry."""

from __future__ import annotations

import hashlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils import _registry_upload as upload
from ansible_collections.homeport.registry.plugins.module_utils._registry_auth import Challenge
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    DigestError,
    HttpError,
    NotAllowedError,
    NotFoundError,
    TlsError,
    UnauthorizedError,
    UnsafeRequestError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_INDEX, OCI_MANIFEST
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

from .conftest import WRITER


@pytest.fixture
def session(start):
    transport = Transport(timeout=10)
    yield Session(transport, start(users=[WRITER]).url, *WRITER)
    transport.close()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def push_blob(session, repository, content, **options):
    upload.push_blob(session, repository, digest(content), Body(lambda: io.BytesIO(content), len(content)), **options)
    return {"mediaType": "application/octet-stream", "digest": digest(content), "size": len(content)}


def push_image(session, repository, tag, layer=b"layer"):
    config = push_blob(session, repository, b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config | {"mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [push_blob(session, repository, layer)],
    }
    body = json.dumps(manifest).encode()
    return client.put_manifest(session, repository, tag, body, OCI_MANIFEST), body


def read_blob(session, repository, wanted):
    return b"".join(client.stream_blob(session, repository, wanted))


def test_the_front_door(session):
    assert client.ask(session) == client.Ping(401, Challenge("basic", "Test Registry"), "registry/2.0")
    client.log_in(session)


def test_push_pull_delete(session):
    wanted, body = push_image(session, "team/app", "v1", b"a layer")
    assert wanted == digest(body)
    for reference in ("v1", wanted):
        assert client.head_manifest(session, "team/app", reference) == client.Descriptor(
            OCI_MANIFEST, wanted, len(body)
        )
        assert client.get_manifest(session, "team/app", reference).body == body
    assert client.head_blob(session, "team/app", digest(b"a layer")) == 7
    assert read_blob(session, "team/app", digest(b"a layer")) == b"a layer"
    client.delete_manifest(session, "team/app", wanted)
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
        client.get_manifest(session, "team/app", "v1")
    client.delete_blob(session, "team/app", digest(b"a layer"))
    with pytest.raises(NotFoundError):
        client.head_blob(session, "team/app", digest(b"a layer"))


def test_every_manifest_type_is_found(session):
    wanted, body = push_image(session, "a", "image")
    child = {
        "mediaType": OCI_MANIFEST,
        "digest": wanted,
        "size": len(body),
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}).encode()
    client.put_manifest(session, "a", "index", index, OCI_INDEX)
    docker = "application/vnd.docker.distribution.manifest"
    old = json.loads(body) | {"mediaType": docker + ".v2+json"}
    old["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    old["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    image = json.dumps(old).encode()
    stored = client.put_manifest(session, "a", "docker", image, docker + ".v2+json")
    listed = {
        "mediaType": docker + ".v2+json",
        "digest": stored,
        "size": len(image),
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    many = json.dumps({"schemaVersion": 2, "mediaType": docker + ".list.v2+json", "manifests": [listed]}).encode()
    client.put_manifest(session, "a", "list", many, docker + ".list.v2+json")
    types = [client.get_manifest(session, "a", tag).media_type for tag in ("image", "index", "docker", "list")]
    assert types == [OCI_MANIFEST, OCI_INDEX, docker + ".v2+json", docker + ".list.v2+json"]
    assert client.list_tags(session, "a") == ["docker", "image", "index", "list"]


@pytest.mark.parametrize("chunk", [None, 1, 64 << 10, 1 << 30])
def test_uploads_of_all_shapes(session, chunk):
    content = b"xyz" if chunk == 1 else os.urandom(300_000)
    push_blob(session, "up/load", content, chunk=chunk)
    assert read_blob(session, "up/load", digest(content)) == content


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_wrong_digest_is_refused_and_nothing_is_left(session, tmp_path, binary, chunk):
    body = Body(lambda: io.BytesIO(b"content"), 7)
    with pytest.raises(HttpError, match="DIGEST_INVALID"):
        upload.push_blob(session, "bad", digest(b"other"), body, chunk=chunk)
    left = list((tmp_path / "store/docker/registry/v2/repositories/bad/_uploads").glob("*/data"))
    # Distribution 2 has no way to cancel an upload whose last answer was an error.
    assert len(left) == (1 if chunk is None and binary.endswith("docker-registry") else 0)


def test_lists_longer_than_a_page(session):
    _wanted, body = push_image(session, "many", "v0")
    for number in range(1, 25):
        client.put_manifest(session, "many", f"v{number}", body, OCI_MANIFEST)
    for name in ("b/c", "a-b", "a/b"):
        push_image(session, name, "v1")
    tags = sorted(f"v{number}" for number in range(25))
    assert client.list_tags(session, "many") == tags
    assert client.list_repositories(session) == ["a-b", "a/b", "b/c", "many"]
    # The same through pages of three, as a registry with a smaller limit sends them.
    for path, scope, key, expected in (
        ("/v2/many/tags/list?n=3", client.pull("many"), "tags", tags),
        ("/v2/_catalog?n=3", "registry:catalog:*", "repositories", ["a-b", "a/b", "b/c", "many"]),
    ):
        pages = [json.loads(page)[key] or [] for page in session.pages("list", path, scope)]
        assert sorted(entry for page in pages for entry in page) == expected


def test_a_tag_can_go_alone_from_version_3_on(session, binary):
    wanted, _body = push_image(session, "a", "v1")
    if binary.endswith("docker-registry"):
        with pytest.raises(HttpError, match="Distribution 3 or newer"):
            client.delete_tag(session, "a", "v1")
        return
    client.delete_tag(session, "a", "v1")
    assert client.list_tags(session, "a") == []
    assert client.get_manifest(session, "a", wanted).digest == wanted


def test_what_is_not_there(session):
    push_image(session, "a", "v1")
    for call, saying in (
        (lambda: client.list_tags(session, "no"), "repository name"),
        (lambda: client.get_manifest(session, "a", "v2"), "tag or digest"),
        (lambda: client.head_manifest(session, "a", "v2"), "status 404"),
        (lambda: read_blob(session, "a", digest(b"no")), "BLOB_UNKNOWN"),
        (lambda: read_blob(session, "b", digest(b"layer")), "404"),
    ):
        with pytest.raises(NotFoundError, match=saying):
            call()


def test_a_manifest_without_its_blobs_is_refused(session):
    missing = {"mediaType": "x/y", "digest": digest(b"missing"), "size": 7}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": missing, "layers": []}).encode()
    with pytest.raises(HttpError, match="Push the missing blobs"):
        client.put_manifest(session, "a", "v1", body, OCI_MANIFEST)


def test_damaged_content_is_noticed(session, tmp_path):
    wanted, _body = push_image(session, "a", "v1", b"good layer")
    hexadecimal = digest(b"good layer").partition(":")[2]
    data = tmp_path / f"store/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
    data.write_bytes(b"bad! layer")
    with pytest.raises(DigestError, match="Do not use this content"):
        read_blob(session, "a", digest(b"good layer"))
    manifest = tmp_path / f"store/docker/registry/v2/blobs/sha256/{wanted[7:9]}/{wanted[7:]}/data"
    manifest.write_bytes(manifest.read_bytes().replace(b"schemaVersion", b"SchemaVersion"))
    for reference in ("v1", wanted):
        # Some versions notice by themselves and answer with an error.
        with pytest.raises((DigestError, HttpError)):
            client.get_manifest(session, "a", reference)


def test_wrong_password_and_no_password(session, start):
    for user, saying in ((("writer", "wrong"), "Check name and password"), ((None, None), "Give a user name")):
        with pytest.raises(UnauthorizedError, match=saying):
            client.log_in(Session(session.transport, session.base, *user))


def test_threads(session):
    contents = [os.urandom(2000) for _number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: push_blob(session, "par", content), contents))
        assert list(pool.map(lambda content: read_blob(session, "par", digest(content)), contents)) == contents


def test_read_only_client(session):
    wanted, _body = push_image(session, "a", "v1")
    reading = Session(Transport(read_only=True), session.base, *WRITER)
    assert client.get_manifest(reading, "a", "v1").digest == wanted
    for call in (
        lambda: client.delete_manifest(reading, "a", wanted),
        lambda: client.start_upload(reading, "a"),
        lambda: client.put_manifest(reading, "a", "v2", b"{}", OCI_MANIFEST),
    ):
        with pytest.raises(UnsafeRequestError):
            call()
    assert client.list_tags(session, "a") == ["v1"]


def test_modes_of_the_server(start):
    transport = Transport(timeout=10)
    read_only = Session(transport, start(read_only=True).url)
    assert client.ask(read_only) == client.Ping(200, None, "registry/2.0")
    with pytest.raises(NotAllowedError, match=r"maintenance\.readonly"):
        client.start_upload(read_only, "a")
    keeping = Session(transport, start(deletes=False).url)
    wanted, _body = push_image(keeping, "a", "v1")
    with pytest.raises(NotAllowedError, match=r"storage\.delete\.enabled"):
        client.delete_manifest(keeping, "a", wanted)
    prefixed = Session(transport, start(prefix="/sub/path").url)
    assert push_image(prefixed, "b", "v1")[0] == wanted
    assert client.list_tags(prefixed, "b") == ["v1"]
    transport.close()


def test_tls(start, authority):
    server = start(users=[WRITER], tls=authority.issue())
    trusting = Transport(context=make_context(ca_file=str(authority.ca_file)))
    assert push_image(Session(trusting, server.url, *WRITER), "a", "v1")
    as_text = Transport(context=make_context(ca_text=authority.ca_file.read_text()))
    assert client.list_tags(Session(as_text, server.url, *WRITER), "a") == ["v1"]
    blind = Transport(context=make_context(verify=False))
    assert client.list_tags(Session(blind, server.url, *WRITER), "a") == ["v1"]
    with pytest.raises(TlsError, match="not trusted"):
        client.log_in(Session(Transport(), server.url, *WRITER))
    with pytest.raises(HttpError, match="begin the address with https://"):
        client.log_in(Session(Transport(), server.url.replace("https:", "http:"), *WRITER))
    plain = start()
    with pytest.raises(TlsError, match="begin the address with http://"):
        client.log_in(Session(Transport(), plain.url.replace("http:", "https:")))


def test_a_name_that_the_certificate_does_not_have(start, authority):
    server = start(tls=authority.issue("registry.example.com"))
    transport = Transport(context=make_context(ca_file=str(authority.ca_file)))
    with pytest.raises(TlsError, match=r"127\.0\.0\.1"):
        client.log_in(Session(transport, server.url))


class Breaking:
    """A stream that breaks the connection in the middle, once."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.broken = False

    def open(self):
        if self.broken:
            return io.BytesIO(self.content)
        self.broken = True
        return self.Half(self.content)

    class Half(io.BytesIO):
        def read(self, size=-1):
            piece = super().read(size)
            if not piece or self.tell() > len(self.getvalue()) // 2:
                raise OSError("broken by the test")
            return piece


def test_an_upload_goes_on_after_a_broken_connection(session, binary, monkeypatch):
    """The second chunk breaks off in the middle: version 3 says how much of it has arrived."""
    content = os.urandom(6 << 20)
    chunk = 2 << 20
    pieces = [Breaking(content[start : start + chunk]) for start in range(0, len(content), chunk)]
    for whole in (pieces[0], pieces[2]):
        whole.broken = True
    part = upload._part
    monkeypatch.setattr(
        upload,
        "_part",
        lambda body, offset, size: (
            pieces[1].open if not pieces[1].broken and offset == chunk else part(body, offset, size)
        ),
    )
    if binary.endswith("docker-registry"):
        with pytest.raises(NotFoundError, match="Start the upload again"):
            push_blob(session, "a", content, chunk=chunk)
        return
    push_blob(session, "a", content, chunk=chunk)
    assert pieces[1].broken
    assert read_blob(session, "a", digest(content)) == content
