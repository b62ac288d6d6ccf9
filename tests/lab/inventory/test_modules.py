# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""inventory_info and gc_verify through their real entry points, against real registries."""

from __future__ import annotations

import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
)
from ansible_collections.homeport.registry.plugins.modules import gc_verify, inventory_info

from .images import Pusher

ACCOUNT = ("nodes", "pull: only")
LAYER, OTHER = b"a layer of two images", b"of one"


@pytest.fixture
def server(start):
    return start(users=[ACCOUNT])


@pytest.fixture
def session(server, connect):
    return connect(server.url, *ACCOUNT)


@pytest.fixture
def run(run_module, server):
    def run(module, **options):
        account = {"username": ACCOUNT[0], "password": ACCOUNT[1]}
        result = run_module(module, **({"url": server.url, "timeout": 20} | account | options))
        assert ACCOUNT[1] not in json.dumps(result)
        assert not result.get("changed")
        return result

    return run


@pytest.fixture
def images(push):
    one, two = push.image("team/app", "v1", LAYER), push.image("team/app", "v2", LAYER, OTHER)
    index = push.index("team/app", "multi", one, two)
    signature = push.image("team/app", f"sha256-{one.digest[7:]}.sig", b"signature", subject=index.descriptor())
    fallback = push.index("team/app", f"sha256-{index.digest[7:]}", signature)
    push.image("other", "v1", LAYER)
    return {"one": one, "two": two, "index": index, "signature": signature, "fallback": fallback}


@pytest.mark.parametrize("check", [False, True])
def test_everything_is_told(run, images, check):
    result = run(inventory_info, check=check)
    assert result["problems"] == []
    assert [one["name"] for one in result["repositories"]] == ["other", "team/app"]
    app = result["repositories"][1]
    tags = {tag["name"]: tag for tag in app["tags"]}
    assert list(tags) == sorted(tags)
    one, two, index = (images[name] for name in ("one", "two", "index"))
    assert tags["multi"]["digest"] == index.digest
    assert tags["multi"]["media_type"] == OCI_INDEX
    assert tags["multi"]["children"] == [
        {"digest": image.digest, "media_type": OCI_MANIFEST, "size": image.size} for image in (one, two)
    ]
    whole = len(b"{}") + len(LAYER) + len(OTHER) + one.size + two.size + index.size
    assert tags["multi"]["bytes"] == whole
    assert tags["multi"]["unique_bytes"] == index.size
    # Its manifest is a child of the index, its layer everywhere.
    assert tags["v1"]["unique_bytes"] == 0
    signature, fallback = images["signature"], images["fallback"]
    assert tags[f"sha256-{one.digest[7:]}.sig"]["subject"] == index.digest
    assert tags[f"sha256-{index.digest[7:]}"]["subject"] == index.digest
    assert tags["v1"]["subject"] is None
    assert [(one["digest"], one["tag"]) for one in tags["v1"]["referrers"]] == [
        (signature.digest, f"sha256-{one.digest[7:]}.sig")
    ]
    assert {(one["digest"], one["tag"]) for one in tags["multi"]["referrers"]} == {
        (signature.digest, ""),
        (fallback.digest, f"sha256-{index.digest[7:]}"),
    }
    assert app["manifests"] == 5
    assert app["bytes"] == whole + len(b"signature") + signature.size + fallback.size
    # The other repository has the image v1 too: manifest, configuration and layer.
    assert app["shared_bytes"] == one.size + len(b"{}") + len(LAYER)
    assert app["unique_bytes"] == app["bytes"] - app["shared_bytes"]
    assert result["repositories"][0]["unique_bytes"] == 0
    assert result["totals"] == {"repositories": 2, "tags": 6, "manifests": 5, "blobs": 4, "bytes": app["bytes"]}
    # The catalog and a list may be asked for twice, the front door tells who may come in.
    assert 10 <= result["requests"] <= 20
    assert sorted(result["inventory"]["repositories"]) == ["other", "team/app"]


def test_repositories_by_name_and_pattern(run, images):
    assert [one["name"] for one in run(inventory_info, repositories=["team/*"])["repositories"]] == ["team/app"]
    both = run(inventory_info, repositories=["o*", "team/app"])["repositories"]
    assert [one["name"] for one in both] == ["other", "team/app"]
    missing = run(inventory_info, repositories=["none"])
    assert [problem["kind"] for problem in missing["problems"]] == ["repository-missing"]
    failed = run(inventory_info, repositories=["none"], fail_on_problems=True)
    assert failed["failed"]
    assert "1 problems" in failed["msg"]


def test_nothing_is_lost(run, images, push):
    before = run(inventory_info)["inventory"]
    push.image("team/app", "v3", b"new")
    push.image("more", "v1")
    result = run(gc_verify, before=before, depth="full")
    assert result["verified"] is True
    assert result["compared"] is True
    assert result["depth"] == "full"
    assert result["problems"] == []
    assert result["checked"] == {"repositories": 3, "tags": 8, "manifests": 8, "blobs": 8, "bytes": 44}
    assert run(gc_verify, before=result["inventory"])["checked"]["blobs"] == 8
    assert run(gc_verify, depth="tags", check=True)["checked"]["blobs"] == 0
    assert run(gc_verify)["compared"] is False


def test_what_is_lost_fails_with_a_list(run, images, push, store, tmp_path):
    file = tmp_path / "before.json"
    file.write_text(json.dumps(run(inventory_info)["inventory"]))
    push.image("team/app", "v2", b"moved")
    store.tag_link("team/app", "v1").unlink()
    store.tag_link("team/app", "v1").parent.rmdir()
    store.blob(digest_of(OTHER)).unlink()
    result = run(gc_verify, before_file=str(file))
    assert result["failed"]
    assert "problems in http://127.0.0.1" in result["msg"]
    assert "tag-moved team/app:v2" in result["msg"]
    found = {(problem["kind"], problem["where"]) for problem in result["problems"]}
    # A folder of a tag without its link is still listed.
    assert found - {("manifest-missing", "team/app:v1")} == {
        ("tag-lost", "team/app:v1"),
        ("tag-moved", "team/app:v2"),
        ("blob-missing", f"team/app@{digest_of(OTHER)}"),
    }
    assert all(problem["text"] and problem["remedy"] for problem in result["problems"])
    reported = run(gc_verify, before_file=str(file), report_only=True, allow_moved_tags=True)
    assert not reported.get("failed")
    assert reported["verified"] is False
    assert found - {(problem["kind"], problem["where"]) for problem in reported["problems"]} == {
        ("tag-moved", "team/app:v2")
    }
    unaffected = run(gc_verify, before_file=str(file), repositories=["other"])
    assert unaffected["verified"] is True


def test_an_index_may_lack_platforms_where_that_is_meant(run, images, push):
    """But not all of them, nor one that was there before, nor the manifest of a tag."""
    before = run(inventory_info)["inventory"]
    client.delete_manifest(push.session, "team/app", images["one"].digest)
    problem = {"kind": "manifest-missing", "where": f"team/app@{images['one'].digest}"}
    result = run(gc_verify, report_only=True)
    assert [{key: one[key] for key in problem} for one in result["problems"]] == [problem]
    result = run(gc_verify, allow_sparse_indexes=True)
    assert result["verified"]
    assert run(gc_verify, allow_sparse_indexes=True, before=before)["failed"]
    client.delete_manifest(push.session, "team/app", images["two"].digest)
    result = run(gc_verify, allow_sparse_indexes=True)
    assert result["failed"]
    assert {one["kind"] for one in result["problems"]} == {"manifest-missing"}
    assert len(result["problems"]) == 2


def test_a_repository_that_is_gone(run, images, store, is_old):
    before = run(inventory_info)["inventory"]
    folder = store.repository("other")
    folder.rename(folder.with_name("_gone"))
    for wanted in (["*"], ["other"], ["o*"]):
        result = run(gc_verify, before=before, repositories=wanted, report_only=True)
        assert [(problem["kind"], problem["where"]) for problem in result["problems"]] == [("tag-lost", "other:v1")]


def test_a_wrong_password_fails(run, images):
    result = run(gc_verify, password="wrong")
    assert result["failed"]
    assert "Check name and password" in result["msg"]


def test_anybody_may_look_where_anybody_may_pull(run_module, start):
    assert run_module(inventory_info, url=start().url)["repositories"] == []


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"before": {"version": 2}}, "not an inventory of version 1"),
        ({"before": {"version": 1, "repositories": {"a": {}}, "problems": []}}, "a part is missing"),
        ({"before_file": "/no/such/file"}, "No such file"),
        ({"before": {}, "before_file": "/x"}, "mutually exclusive"),
        ({"repositories": ["Team"]}, "lower-case letters"),
        ({"depth": "deep"}, "value of depth must be one of"),
    ],
)
def test_wrong_options(run, options, saying):
    result = run(gc_verify, **options)
    assert result["failed"]
    assert saying in result["msg"]


def test_a_user_needs_a_password(run_module):
    result = run_module(inventory_info, url="http://127.0.0.1:1", username="nodes")
    assert "required together: username, password" in result["msg"]


@pytest.fixture
def elsewhere(tmp_path):
    """A plain file server on the store, as an object storage would be, and the requests it got."""
    seen = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            super().do_GET()

        def log_message(self, *details) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "store"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("depth", ["blobs", "full"])
def test_readers_are_sent_to_an_object_storage(run_module, start, connect, store, elsewhere, depth):
    address, seen = elsewhere
    Pusher(connect(start().url)).image("a", "v1", LAYER)
    redirect = {"storage": [{"name": "redirect", "options": {"baseurl": address}}]}
    reader = start(users=[ACCOUNT], settings={"middleware": redirect})
    account = {"username": ACCOUNT[0], "password": ACCOUNT[1]}
    result = run_module(gc_verify, url=reader.url, depth=depth, **account)
    assert result["verified"] is True
    assert sorted(path for path, _authorization in seen) == sorted(
        f"/docker/registry/v2/blobs/sha256/{value[:2]}/{value}/data"
        for value in (digest_of(content)[7:] for content in (b"{}", LAYER))
    )
    # The password is the registry's and nobody else's.
    assert {authorization for _path, authorization in seen} == {None}
    store.blob(digest_of(LAYER)).write_bytes(LAYER[:-1])
    result = run_module(gc_verify, url=reader.url, depth=depth, report_only=True, **account)
    assert [problem["kind"] for problem in result["problems"]] == ["size-mismatch"]
