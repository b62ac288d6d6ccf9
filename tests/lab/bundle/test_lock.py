# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""bundle_lock against a real registry: every name becomes a digest, and what belongs to an image is found."""

from __future__ import annotations

import json
import socket

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import Lock, parse_lock
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.modules.distribution import free_port

from .stock import Stock

NGINX = "docker.io/library/nginx:1.27"


@pytest.fixture
def read(workplace):
    def read() -> Lock:
        path = workplace / "bundle.lock.json"
        return parse_lock(path.read_bytes(), str(path))

    return read


def test_a_wish_is_locked_once(lock, read, stock, workplace):
    index, children = stock.multi("library/nginx", "1.27")
    result = lock("nginx:1.27", check=True, diff=True)
    assert result["changed"]
    assert not list(workplace.iterdir())
    again = lock("nginx:1.27", diff=True)
    assert again["changes"] == result["changes"] == [f"{NGINX}: locked at {index.digest}"]
    assert again["diff"] == result["diff"]
    assert again["path"] == str(workplace / "bundle.lock.json")
    assert again["images"] == [
        {
            "name": NGINX,
            "digest": index.digest,
            "platforms": ["linux/amd64"],
            "bootstrap": False,
            "referrers": 0,
        }
    ]
    locked = read()
    assert again["bytes"] == sum(locked.blobs.values())
    assert again["files"] == 0
    assert set(locked.manifests) == {index.digest, children["linux/amd64"].digest}
    assert locked.manifests[index.digest].children == (children["linux/amd64"].digest,)
    for check in (True, False):
        assert not lock("docker.io/nginx:1.27", check=check)["changed"]


def test_what_has_moved_is_said_and_written(lock, read, stock, workplace):
    old, _children = stock.multi("library/nginx", "1.27")
    gone = stock.plain("team/old", "1")
    lock("nginx:1.27", "quay.example.com/team/old:1")
    new, _children = stock.multi("library/nginx", "1.27", extra=b"a fix")
    before = (workplace / "bundle.lock.json").read_bytes()
    fresh = stock.plain("team/new", "1")
    for check in (True, False):
        result = lock("nginx:1.27", "quay.example.com/team/new:1", check=check, diff=True)
        assert result["changed"]
        assert result["changes"] == [
            f"{NGINX}: moved from {old.digest} to {new.digest}",
            f"quay.example.com/team/new:1: added at {fresh.digest}",
            "quay.example.com/team/old:1: removed",
        ]
        assert f"image {NGINX} {old.digest} linux/amd64\n" in result["diff"]["before"]
        assert f"image {NGINX} {new.digest} linux/amd64\n" in result["diff"]["after"]
        assert (workplace / "bundle.lock.json").read_bytes() == before or not check
    assert gone.digest not in read().manifests


@pytest.mark.parametrize("docker", [False, True])
def test_platforms_are_picked(lock, read, stock, docker):
    index, children = stock.multi("app", "1", docker=docker)
    for wanted in (["linux/arm64/v8", "linux/arm/v7"], ["all"]):
        lock("quay.example.com/app:1", platforms=wanted)
        kept = [one for one in children if wanted == ["all"] or one != "linux/amd64"]
        assert read().manifests[index.digest].children == tuple(children[one].digest for one in kept)
        assert read().images[0].platforms == tuple(sorted(one.removesuffix("/v7") for one in kept))


def test_one_index_under_two_names_keeps_the_platforms_of_both(lock, read, stock):
    index, children = stock.multi("app", "1")
    stock.multi("app", "2")
    lock(
        {"name": "quay.example.com/app:1", "platforms": ["linux/arm64"]},
        {"name": "quay.example.com/app:2", "platforms": ["linux/amd64"], "bootstrap": True},
    )
    kept = {children[one].digest for one in ("linux/amd64", "linux/arm64")}
    assert set(read().manifests[index.digest].children) == kept
    assert [(one.platforms, one.bootstrap) for one in read().images] == [
        (("linux/arm64",), False),
        (("linux/amd64",), True),
    ]


def test_everything_that_belongs_to_an_image_comes_along(lock, read, stock):
    index, children = stock.multi("app", "1", attested=True)
    mine, other = children["linux/amd64"], children["linux/arm64"]
    bill = stock.referrer("app", index)
    signed_bill = stock.referrer("app", bill, "signature")
    child_bill = stock.referrer("app", mine)
    stock.referrer("app", other)
    signature = stock.signature("app", index)
    attestation = stock.signature("app", mine, ".att")
    stock.signature("app", other)
    result = lock("quay.example.com/app:1")
    locked = read()
    image = locked.images[0]
    assert set(image.referrers) == {bill.digest, signed_bill.digest, child_bill.digest}
    assert image.tags[f"{index.digest.replace(':', '-')}.sig"] == signature.digest
    assert image.tags[f"{mine.digest.replace(':', '-')}.att"] == attestation.digest
    # The list of referrers of each is kept too, as it stands.
    lists = [tag for tag in image.tags if "." not in tag]
    assert set(lists) == {one.digest.replace(":", "-") for one in (index, mine, bill)}
    assert locked.manifests[index.digest].children == (mine.digest, children["linux/amd64 attested"].digest)
    assert locked.manifests[child_bill.digest].subject == mine.digest
    assert result["images"][0]["referrers"] == 3 + 5
    result = lock("quay.example.com/app:1", referrers=False)
    assert result["changes"] == ["quay.example.com/app:1: other referrers, tags"]
    assert set(read().manifests) == {index.digest, mine.digest}


def test_a_digest_pins_an_image_whose_tag_has_moved(lock, read, stock):
    old, _children = stock.multi("app", "1")
    stock.multi("app", "1", extra=b"a fix")
    lock(f"localhost:5000/app:1@{old.digest}", f"localhost:5000/app@{old.digest}")
    assert [(one.name, one.digest) for one in read().images] == [
        ("localhost:5000/app:1", old.digest),
        (f"localhost:5000/app@{old.digest}", old.digest),
    ]


def test_what_has_no_platform_is_for_all(lock, read, stock):
    chart = stock.image("chart", "1", b"a chart", config=b'{"name":"chart"}')
    document = json.loads(stock_manifest(stock, "chart", chart.digest))
    document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    chart = stock.manifest("chart", "1", document)
    lock("quay.example.com/chart:1", platforms=["linux/amd64", "linux/arm64"])
    assert read().images[0].platforms == ()
    assert read().images[0].digest == chart.digest


def stock_manifest(stock, repository, digest) -> bytes:
    path = f"/v2/{repository}/manifests/{digest}"
    headers = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    return stock.session.request("read", "GET", path, scope="", expect=(200,), headers=headers).read()


def test_a_platform_that_an_image_lacks_is_named_with_those_it_has(lock, stock, workplace):
    stock.multi("app", "1")
    stock.plain("arm", "1", "linux/arm64")
    result = lock("quay.example.com/app:1", platforms=["linux/amd64", "linux/s390x"])
    assert result["failed"]
    assert "resolve quay.example.com/app:1" in result["msg"]
    assert "find linux/s390x: the image is for linux/amd64, linux/arm, linux/arm64" in result["got"]
    result = lock("quay.example.com/arm:1")
    assert "find linux/amd64: the image is for linux/arm64" in result["got"]
    assert not list(workplace.iterdir())


def test_all_broken_images_are_named_at_once(lock, stock, workplace, sources):
    stock.plain("app", "1")
    result = lock(
        "quay.example.com/app:1",
        "quay.example.com/app:2",
        "gone.example.com/app:1",
        sources=[*sources, {"host": "gone.example.com", "url": f"http://127.0.0.1:{free_port()}"}],
        patience=1,
    )
    assert result["failed"]
    assert "quay.example.com/app:2" in result["where"]
    assert "MANIFEST_UNKNOWN" in result["got"] or "status 404" in result["got"]
    assert "gone.example.com/app:1" in result["where"]
    assert "nothing listens there" in result["got"]
    assert "quay.example.com/app:1:" not in result["got"]
    assert not list(workplace.iterdir())


def test_a_source_with_an_account_and_a_prefix(lock, start):
    server = start(users=[("builder", "let me pull")])
    transport = Transport(timeout=20)
    pushed = Stock(Session(transport, server.url, "builder", "let me pull")).plain("hub/library/app", "1")
    transport.close()
    account = {"host": "docker.io", "url": server.url, "prefix": "/hub/", "username": "builder"}
    result = lock("app:1", sources=[account | {"password": "let me pull"}])
    assert result["images"][0]["digest"] == pushed.digest
    result = lock("app:1", sources=[account | {"password": "let me in"}])
    assert result["failed"]
    assert "status 401" in result["got"]
    assert "let me in" not in json.dumps(result)


def test_a_tag_that_moves_every_day_is_warned_of(lock, stock):
    stock.plain("library/app", "latest")
    result = lock("app")
    assert result["images"][0]["name"] == "docker.io/library/app:latest"
    assert "has the tag latest" in json.dumps(result["warnings"])


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"images": ["a b"]}, "images[0].name"),
        ({"images": ["nginx", "docker.io/library/nginx:latest"]}, "docker.io/library/nginx:latest is there twice"),
        ({"images": [{"name": "nginx", "colour": "red"}]}, "images[0].colour: it is not known"),
        ({"images": [{"name": "nginx", "platforms": ["amd64"]}]}, "is no platform such as linux/amd64"),
        ({"version": 1.0, "images": ["nginx"]}, "version: 1.0 is no text"),
        ({"images": [], "pictures": []}, "pictures: it is not known"),
        ({"images": []}, "it asks for nothing"),
        ({"collections": ["x"]}, "collections[0]: 'x' is no namespace.name:version"),
        ({"python": {"packages": ["a; rm"], "versions": ["3.12"], "platforms": ["any"]}}, "packages"),
        ({"python": {"packages": ["-r x"], "versions": ["3.12"], "platforms": ["any"]}}, "packages"),
        ({"python": {"packages": ["a"], "versions": ["2.7"], "platforms": ["any"]}}, "versions"),
        ({"files": [{"src": "/etc/passwd", "dest": "../x"}]}, "files[0].dest"),
        ({"files": ["/nowhere/at/all"]}, "No such file"),
    ],
)
def test_a_wrong_wish_is_refused_with_the_place(lock, workplace, wish, words):
    result = lock(**wish)
    assert result["failed"]
    assert words in result["msg"]
    assert not list(workplace.iterdir())


def test_a_lock_that_was_changed_by_hand_is_not_taken(lock, stock, workplace):
    stock.plain("library/app", "1")
    lock("app:1")
    path = workplace / "bundle.lock.json"
    path.write_text(path.read_text().replace('"bootstrap": false', '"bootstrap":  false'))
    result = lock("app:1")
    assert result["failed"]
    assert "it is not as it was written" in result["msg"]


def test_a_source_that_does_not_answer_in_time_is_named(lock, sources):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = lock(
            "slow.example.com/a:1", sources=[{"host": "slow.example.com", "url": url}], timeout=0.2, patience=0
        )
    assert result["failed"]
    assert "no answer in time" in result["got"]
