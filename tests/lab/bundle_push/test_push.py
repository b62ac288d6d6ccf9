# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""bundle_push against a real registry: what arrives is what was built, and a second run does nothing."""

from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils import _registry_upload as upload
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content
from tests.lab.modules.authority import Authority
from tests.lab.modules.distribution import Distribution
from tests.unit.bundle.writer import Key, Writer, digest_of, flip, offset_of
from tools.paths import ROOT

from .conftest import ACCOUNT, fill, noise

PLACES = {
    "docker.io/library/multi:1": ("docker.io/library/multi", "1"),
    "docker.io/library/sparse:1.27": ("docker.io/library/sparse", "1.27"),
    "quay.io:8443/team/list:2": ("quay.io_8443/team/list", "2"),
    "registry.example.com/plain:3": ("registry.example.com/plain", "3"),
}


@pytest.fixture
def writer():
    return fill(Writer(name="platform", version="2.0+3"))


@pytest.fixture
def paths(writer, tmp_path, key):
    return writer.write(tmp_path / "in", key)


def statuses(result):
    return {one["name"]: one["status"] for one in result["images"]}


def skopeo_digest(server: Distribution, repository: str, tag: str) -> str:
    """Return the digest of what an independent client gets."""
    raw = subprocess.run(
        [
            "skopeo",
            "inspect",
            "--raw",
            "--tls-verify=false",
            f"--creds={ACCOUNT[0]}:{ACCOUNT[1]}",
            f"docker://{server.url.removeprefix('http://')}/{repository}:{tag}",
        ],
        capture_output=True,
        check=True,
    )
    return digest_of(raw.stdout)


def is_whole(session, writer):
    """Compare all of a registry with what was built."""
    inventory = take_inventory(session)
    # Platforms that are not kept are the only thing that is missing.
    absent = {digest_of(f"absent {number}".encode()) for number in range(2)}
    assert {one.kind for one in inventory.problems} <= {"manifest-missing"}
    assert {one.where.rpartition("@")[2] for one in inventory.problems} <= absent
    assert not check_content(session, inventory, "full", fresh=True).problems
    for name, (repository, tag) in PLACES.items():
        if name in writer.images:
            assert inventory.repositories[repository].tags[tag] == writer.images[name]["digest"]
    for held in inventory.repositories.values():
        reached = {entry.digest for tag in held.tags.values() for entry in held.reach(tag)}
        for entry in held.entries.values():
            assert entry.digest in reached
    return inventory


def test_everything_arrives_byte_for_byte(push, paths, writer, session, server):
    result = push(paths)
    assert result["changed"] is True
    assert result["complete"] is True, result["msg"]
    assert set(statuses(result).values()) == {"pushed"}
    assert (result["name"], result["version"], result["parent"]) == ("platform", "2.0+3", None)
    assert result["sha256"] == digest_of(writer.document())[7:]
    assert result["signed_by"].startswith("SHA256:")
    assert [one["number"] for one in result["volumes"]] == [1]
    assert result["missing_volumes"] == []
    inventory = is_whole(session, writer)
    for one in result["images"]:
        assert one["served"] == one["digest"] == writer.images[one["name"]]["digest"]
        body = writer.contents[one["digest"]]
        assert client.get_manifest(session, one["repository"], one["tag"]).body == body
        assert skopeo_digest(server, one["repository"], one["tag"]) == one["digest"]
    for digest in writer.manifests:
        if digest not in writer.images["quay.io:8443/team/list:2"]["tags"].values():
            assert any(digest in repository.entries for repository in inventory.repositories.values()), digest


def test_over_tls(push, start, tmp_path, key):
    """What is encrypted is read and not sent by the kernel."""
    authority = Authority(tmp_path)
    server = start(users=[ACCOUNT], tls=authority.issue(), store=tmp_path / "encrypted")
    writer = fill(Writer())
    writer.image("docker.io/library/large:1", writer.manifest(noise(9, 5 << 20)))
    result = push(writer.write(tmp_path / "in", key), url=server.url, ca_cert=str(authority.ca_file))
    assert result["complete"] is True, result
    transport = Transport(context=make_context(ca_file=str(authority.ca_file)))
    is_whole(Session(transport, server.url, *ACCOUNT), writer)
    transport.close()


def test_each_content_is_sent_once(push, paths, writer):
    result = push(paths)
    totals = result["totals"]
    layers = {blob for entry in writer.manifests.values() for blob in entry["blobs"]}
    assert totals["sent"] == totals["wire"] == sum(writer.sizes[digest] for digest in layers)
    # Layers that several repositories need, and the configuration of all that belongs to images.
    assert (
        totals["mounted"]
        == len(b"{}") + writer.sizes[digest_of(noise(0))] + 2 * writer.sizes[digest_of(noise(1, 90_000))]
    )
    assert totals["least_connections"] == 4
    for key in ("sent", "mounted", "skipped"):
        assert totals[key] == sum(one[key] for one in result["images"])


def test_twelve_steps(push, paths, writer, session, tmp_path, key):
    foretold = None
    for check in (True, False):
        result = push(paths, check=check)
        assert result["changed"] is True
        assert set(statuses(result).values()) == {"pushed"}
        if check:
            foretold = result
            assert client.list_repositories(session) == []
    assert foretold is not None
    for name in ("sent", "mounted", "skipped", "manifests", "tags"):
        assert foretold["totals"][name] == result["totals"][name], name
    assert foretold["diff"]["after"].keys() == result["diff"]["after"].keys()
    assert foretold["diff"]["before"] == {}
    before = is_whole(session, writer)
    for check in (True, False):
        result = push(paths, check=check)
        assert result["changed"] is False
        assert set(statuses(result).values()) == {"unchanged"}
        assert (result["totals"]["sent"], result["totals"]["mounted"], result["totals"]["wire"]) == (0, 0, 0)
        assert result["diff"] == {"before": {}, "after": {}}
    assert take_inventory(session) == before
    newer = Writer(name="platform", version="3")
    top = newer.manifest(noise(1, 90_000), noise(7), config=b'{"newer": 1}')
    newer.image("docker.io/library/multi:1", top)
    later = newer.write(tmp_path / "newer", key)
    for check in (True, False):
        result = push(later, check=check)
        assert result["changed"] is True
        place = "docker.io/library/multi:1"
        assert result["diff"]["before"] == {place: writer.images[place]["digest"]}
        assert result["diff"]["after"][place] == top
        assert result["images"][0]["skipped"] == 90_000
        now = client.head_manifest(session, "docker.io/library/multi", "1").digest
        assert now == (writer.images[place]["digest"] if check else top)
    for check in (True, False):
        assert push(later, check=check)["changed"] is False
    # What the older bundle brought is still there, under the tag that keeps it.
    kept = f"hp-platform-2.0_3-{writer.images[place]['digest'][7:19]}"
    assert client.head_manifest(session, "docker.io/library/multi", kept).digest == writer.images[place]["digest"]


def test_what_belongs_to_an_image_is_found_and_kept(push, paths, writer, session):
    push(paths)
    multi, listed = writer.images["docker.io/library/multi:1"], writer.images["quay.io:8443/team/list:2"]
    found = {}
    for referrer in multi["referrers"]:
        subject = writer.manifests[referrer]["subject"]
        body = client.get_manifest(session, "docker.io/library/multi", subject.replace(":", "-")).document()
        (found[referrer],) = body["manifests"]
    assert {one["digest"] for one in found.values()} == set(multi["referrers"])
    assert {one["artifactType"] for one in found.values()} == {"application/vnd.example.signature"}
    # A list that the source had comes as it was.
    name = listed["digest"].replace(":", "-")
    assert client.head_manifest(session, "quay.io_8443/team/list", name).digest == listed["tags"][name]
    signature = client.head_manifest(session, "quay.io_8443/team/list", f"{name}.sig").digest
    assert signature == listed["tags"][f"{name}.sig"]


def test_a_list_of_this_side_is_added_to(push, paths, writer, session):
    push(paths)
    repository, name = "quay.io_8443/team/list", writer.images["quay.io:8443/team/list:2"]["digest"].replace(":", "-")
    ours = Writer()
    report = ours.referrer(ours.manifest(b"x"), b"a report made here")
    brought = client.get_manifest(session, repository, name).document()["manifests"]
    body = ours.contents[report]
    assert isinstance(body, bytes)
    for blob in (b"{}", b"a report made here"):
        upload.push_blob(session, repository, digest_of(blob), upload.bytes_body(blob))
    client.put_manifest(session, repository, report, body, ours.manifests[report]["media_type"])
    kind = "application/vnd.oci.image.index.v1+json"
    own = {"schemaVersion": 2, "mediaType": kind}
    # Without a platform, this server would break over it.
    entry = ours.descriptor(report) | {"platform": {"os": "unknown", "architecture": "unknown"}}
    document = json.dumps(own | {"manifests": [entry]}).encode()
    client.put_manifest(session, repository, name, document, kind)
    for check in (True, False):
        assert push(paths, check=check)["changed"] is True
    now = client.get_manifest(session, repository, name).document()["manifests"]
    assert sorted(one["digest"] for one in now) == sorted([report, brought[0]["digest"]])
    assert push(paths)["changed"] is False


def test_garbage_collection_of_all_that_has_no_tag_takes_nothing(push, paths, writer, session, server, tmp_path):
    push(paths)
    before = take_inventory(session)
    server.stop()
    config = tmp_path / "registry-0/config.yml"
    binary = str(ROOT / ".lab/bin/registry")
    subprocess.run([binary, "garbage-collect", "--delete-untagged", str(config)], check=True, capture_output=True)
    server.start()
    assert take_inventory(session) == before
    is_whole(session, writer)
    assert push(paths)["changed"] is False


def test_what_the_registry_lost_is_pushed_again(push, paths, writer, session, tmp_path):
    push(paths)
    blobs = tmp_path / "store/docker/registry/v2/blobs/sha256"
    for content in (noise(2), noise(0)):
        digest = digest_of(content)[7:]
        (blobs / digest[:2] / digest / "data").unlink()
    result = push(paths)
    assert result["changed"] is True
    assert result["totals"]["sent"] == len(noise(2)) + len(noise(0))
    is_whole(session, writer)
    (cut,) = blobs.glob(f"*/{digest_of(noise(5))[7:]}/data")
    cut.write_bytes(noise(5)[:100])
    # Distribution keeps what it has, also when it is damaged: then nobody is told that all is well.
    result = push(paths)
    assert result["failed"]
    assert "after the push registry.example.com/plain does not serve the blob" in result["msg"]
    assert statuses(result)["docker.io/library/multi:1"] == "unchanged"


def test_a_flipped_bit_is_named_before_the_first_write(push, paths, writer, session):
    for digest in writer.sizes:
        start, size = offset_of(paths[0], f"blobs/sha256/{digest[7:]}")
        flip(paths[0], start + size // 2)
        result = push(paths)
        assert result["failed"]
        assert [(one["kind"], one["content"]) for one in result["problems"]] == [("damaged", digest)]
        assert digest in result["msg"]
        assert client.list_repositories(session) == []
        flip(paths[0], start + size // 2)
    assert push(paths)["complete"] is True


def test_nothing_is_pushed_for_a_wrong_key(push, paths, session):
    result = push(paths, trusted_keys=[Key().public])
    assert result["failed"]
    assert "Find out who has signed this" in result["msg"]
    assert client.list_repositories(session) == []
    assert push(paths, trusted_keys=[], allow_unsigned=True)["signed_by"] == ""


def test_errors_of_the_registry(push, paths, server, start):
    assert "Check name and password" in push(paths, password="wrong")["msg"]
    reader = start(users=[ACCOUNT], read_only=True)
    result = push(paths, url=reader.url)
    assert result["failed"]
    assert "405" in result["msg"]
    assert "storage.maintenance.readonly" in result["msg"]
    assert {one["status"] for one in result["images"]} == {"failed"}
    server.stop()
    assert "nothing listens there" in push(paths)["msg"]
    assert "threads has to be" in push(paths, threads=0)["msg"]


def test_a_registry_that_wants_whole_indexes(push, paths, start, tmp_path):
    strict = start(users=[ACCOUNT], settings={}, store=tmp_path / "strict")
    result = push(paths, url=strict.url)
    assert result["failed"]
    assert {name: status for name, status in statuses(result).items() if status != "pushed"} == {
        "docker.io/library/sparse:1.27": "failed"
    }
    assert "validation.manifests.indexes.platforms" in result["msg"]
    assert result["complete"] is False
    problems = [one["problem"] for one in result["images"] if one["problem"]]
    assert len(problems) == 1


def test_where_it_goes_and_how_far_it_is(push, paths, tmp_path):
    push(paths, progress_file=str(tmp_path / "progress.json"))
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress["phase"] == "done"
    assert progress["bytes_sent"] == progress["bytes_total"] > 0
    assert progress["images_done"] == progress["images_total"] == 5
    # Nothing of an upload that is complete stays behind.
    assert list((tmp_path / "state").iterdir()) == []
