# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of inventories, their comparison, and what they weigh: pure data."""

from __future__ import annotations

import json
import threading

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Descriptor, Manifest
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import (
    DocumentError,
    Inventory,
    Problem,
    Repository,
    in_order,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_entries import Entry, Pool
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import ProtocolError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_INDEX, OCI_MANIFEST
from ansible_collections.homeport.registry.plugins.module_utils._registry_stock import select
from ansible_collections.homeport.registry.plugins.module_utils._registry_summary import subject_of_tag, summarize
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import compare
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def blob(number: int, size: int = 10) -> Descriptor:
    return Descriptor("application/octet-stream", digest(number), size)


def image(number: int, *blobs: Descriptor) -> Entry:
    return Entry(digest(number), OCI_MANIFEST, 1, (), blobs, None)


def index(number: int, *children: Entry) -> Entry:
    below = tuple(Descriptor(child.media_type, child.digest, child.size) for child in children)
    return Entry(digest(number), OCI_INDEX, 1, below, (), None)


def inventory(**repositories: dict[str, Entry]) -> Inventory:
    """Return an inventory of repositories with tags; entries that are no tag's begin with an underscore."""
    found = {}
    for name, entries in repositories.items():
        tags = {tag: entry.digest for tag, entry in entries.items() if not tag.startswith("_")}
        found[name] = Repository(name, tags, {entry.digest: entry for entry in entries.values()})
    return Inventory(found, [])


ONE, TWO = image(1, blob(101), blob(102, 20)), image(2, blob(101), blob(103, 30))
MULTI = index(3, ONE, TWO)
FULL = inventory(a={"multi": MULTI, "_1": ONE, "_2": TWO, "one": ONE}, b={"one": ONE})


def test_a_document_is_what_it_was_made_of():
    problem = Problem("manifest-missing", "a:v1", "Could not read it.", "Push it again.")
    whole = Inventory(FULL.repositories, [problem])
    again = Inventory.from_document(json.loads(json.dumps(whole.document())))
    assert again == whole
    # One content is one object.
    entries = [again.repositories[name].entries[ONE.digest] for name in "ab"]
    assert entries[0] is entries[1]
    assert entries[0].blobs[0] is again.repositories["a"].entries[TWO.digest].blobs[0]


def broken(change):
    document = json.loads(json.dumps(FULL.document()))
    change(document)
    return document


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 2, "repositories": {}, "problems": []},
        {"version": 1},
        broken(lambda d: d["repositories"]["a"].pop("tags")),
        broken(lambda d: d["repositories"]["a"]["tags"].update(one="v1")),
        broken(lambda d: d["repositories"]["b"]["entries"][ONE.digest].pop("size")),
        broken(lambda d: d["repositories"]["b"]["entries"][ONE.digest]["blobs"][0].update(size="10")),
        broken(lambda d: d["repositories"]["b"]["entries"][ONE.digest]["blobs"][0].update(digest="sha256:1")),
        broken(lambda d: d.update(problems=[{"kind": "x"}])),
        broken(lambda d: d.update(repositories=["a"])),
    ],
)
def test_documents_that_are_none(document):
    with pytest.raises(DocumentError, match="Give what inventory_info returned"):
        Inventory.from_document(document)


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        (FULL, []),
        (inventory(a={"multi": MULTI, "_1": ONE, "_2": TWO, "one": ONE, "new": TWO}, b={"one": ONE}, c={}), []),
        (inventory(a={"multi": MULTI, "_1": ONE, "_2": TWO, "one": ONE}), [("tag-lost", "b:one")]),
        (
            inventory(a={"multi": MULTI, "_1": ONE, "_2": TWO}, b={"one": TWO}),
            [("tag-lost", "a:one"), ("tag-moved", "b:one")],
        ),
        (
            inventory(a={"multi": MULTI, "_1": ONE, "one": ONE}, b={"one": ONE}),
            [("manifest-lost", f"a@{TWO.digest}"), ("blob-lost", f"a@{digest(103)}")],
        ),
        # The child is there again under a tag of its own: nothing is lost.
        (inventory(a={"multi": MULTI, "two": TWO, "one": ONE}, b={"one": ONE}), []),
        (Inventory({}, []), [("tag-lost", "a:multi"), ("tag-lost", "a:one"), ("tag-lost", "b:one")]),
    ],
)
def test_what_is_lost_since(after, lost):
    problems = compare(FULL, after)
    assert [(problem.kind, problem.where) for problem in problems] == lost
    assert all("before" in problem.text and problem.remedy for problem in problems)


def test_bytes_are_counted_once():
    repositories, totals = summarize(FULL)
    a, b = repositories
    # Manifests weigh 1 each: the index and two images, blobs of 10, 20 and 30.
    assert (a["bytes"], a["unique_bytes"], a["shared_bytes"]) == (63, 32, 31)
    assert (b["bytes"], b["unique_bytes"], b["shared_bytes"]) == (31, 0, 31)
    assert {tag["name"]: (tag["bytes"], tag["unique_bytes"]) for tag in a["tags"]} == {
        "multi": (63, 32),
        "one": (31, 0),
    }
    assert totals == {"repositories": 2, "tags": 3, "manifests": 3, "blobs": 3, "bytes": 63}


def test_what_two_tags_point_to_is_unique_to_none():
    repositories, _totals = summarize(inventory(a={"v1": ONE, "latest": ONE, "v2": TWO}))
    assert {tag["name"]: tag["unique_bytes"] for tag in repositories[0]["tags"]} == {"latest": 0, "v1": 0, "v2": 31}
    assert repositories[0]["unique_bytes"] == repositories[0]["bytes"] == 62


@pytest.mark.parametrize(
    ("tag", "subject"),
    [
        (f"sha256-{'a' * 64}", f"sha256:{'a' * 64}"),
        (f"sha256-{'a' * 64}.sig", f"sha256:{'a' * 64}"),
        (f"sha256-{'a' * 64}.att", f"sha256:{'a' * 64}"),
        (f"sha256-{'a' * 64}.sbom", f"sha256:{'a' * 64}"),
        (f"sha512-{'0' * 128}", f"sha512:{'0' * 128}"),
        (f"sha256-{'a' * 63}", None),
        (f"sha256-{'A' * 64}", None),
        (f"sha256-{'a' * 64}.other", None),
        (f"sha512-{'a' * 64}", None),
        ("v1", None),
    ],
)
def test_what_a_tag_belongs_to(tag, subject):
    assert subject_of_tag(tag) == subject


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["*"], ["a", "team/app", "team/web/x"]),
        (["team/*"], ["team/app", "team/web/x"]),
        (["a", "none"], ["a"]),
        (["?", "team/a*"], ["a", "team/app"]),
        ([], []),
    ],
)
def test_repositories_by_pattern(wanted, found):
    assert select(["team/web/x", "a", "team/app", "a"], wanted) == found


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"",
        b'{"layers": [{"digest": "sha256:1", "size": 1}]}',
        b'{"layers": [{"size": 1}]}',
        b'{"config": {"digest": "%s", "size": -1}}' % digest(1).encode(),
        b'{"config": {"digest": "%s", "size": true}}' % digest(1).encode(),
        b'{"manifests": {"a": 1}}',
        b'{"subject": {"digest": "latest"}}',
        b'{"config": 5}',
    ],
)
def test_manifests_that_cannot_be_understood(body):
    with pytest.raises(ProtocolError):
        Pool().entry(Manifest(OCI_MANIFEST, digest(1), len(body), body))


def test_problems_are_sorted_and_told_once():
    one, two = Problem("b", "x", "", ""), Problem("a", "x", "", "")
    assert in_order([one, two, Problem("c", "a", "", ""), one]) == [Problem("c", "a", "", ""), two, one]


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_work_in_parallel_does_everything_once(threads):
    done: list[int] = []
    in_parallel(done.append, iter(range(500)), threads)
    assert sorted(done) == list(range(500))


@pytest.mark.parametrize("threads", [1, 8])
def test_an_error_ends_the_work_and_is_raised(threads):
    begun = []
    lock = threading.Lock()

    def work(number: int) -> None:
        with lock:
            begun.append(number)
        if number == 3:
            raise KeyError(number)

    with pytest.raises(KeyError, match="3"):
        in_parallel(work, range(100_000), threads)
    assert len(begun) < 100_000
