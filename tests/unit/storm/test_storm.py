# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the storm claims, makes and understands, without a registry."""

from __future__ import annotations

import json
import random

import pytest

from tests.storm.images import KINDS, Recipe, build
from tests.storm.ledger import Claim, Ledger, Name, claims, read
from tests.storm.skopeo import understand
from tests.storm.state import State

RECIPE = Recipe("plain", "seed", 0, 1000)


def _event(event, tag, **fields):
    return {"event": event, "repository": "r", "tag": tag, "recipe": RECIPE.document(), **fields}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([("acknowledged", "a")], {"a": True}),
        ([("acknowledged", "a"), ("deleting", "a")], {}),
        ([("acknowledged", "a"), ("deleting", "a"), ("acknowledged", "a")], {"a": True}),
        ([("acknowledged", "a"), ("untagging", "a")], {"a": False}),
        ([("acknowledged", "a"), ("untagging", "a"), ("acknowledged", "a")], {"a": True}),
        ([("deleting", "b"), ("untagging", "b"), ("refused", "b"), ("acknowledged", "a")], {"a": True}),
    ],
)
def test_what_is_claimed(events, expected) -> None:
    """What was acknowledged and not deleted since; an image without a tag is claimed by its digest."""
    found = claims(_event(*one) for one in events)
    assert {claim.name.tag: claim.tagged for claim in found} == expected


def test_images_without_a_tag_are_not_claimed_where_they_may_go() -> None:
    events = [_event("acknowledged", "a"), _event("acknowledged", "b"), _event("untagging", "a")]
    assert [claim.name.tag for claim in claims(events, untagged_are_kept=False)] == ["b"]


def test_a_torn_line_is_no_claim_and_hides_none(tmp_path) -> None:
    path = tmp_path / "ledger"
    first = Ledger(path)
    first.write("acknowledged", repository="r", tag="a", recipe=RECIPE.document())
    first.close()
    with path.open("a") as file:
        file.write(json.dumps(_event("acknowledged", "torn"))[:-9])
    second = Ledger(path)
    second.write("acknowledged", repository="r", tag="b", recipe=RECIPE.document())
    second.close()
    assert [claim.name.tag for claim in claims(read(path))] == ["a", "b"]


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_whole_and_repeatable(kind) -> None:
    """Everything that a manifest names is pushed before it, and a recipe read from a ledger gives the same bytes."""
    recipe = Recipe(kind, "seed", 1, 1000)
    image = build(recipe, "tag")
    again = build(Recipe.from_document(json.loads(json.dumps(recipe.document()))), "tag")
    assert [m.content for m in again.manifests] == [m.content for m in image.manifests]
    assert build(Recipe(kind, "other", 1, 1000), "tag").top.content.digest != image.top.content.digest
    there = set(image.blobs)
    for manifest in image.manifests:
        document = json.loads(manifest.content.body)
        named = [*document.get("manifests", []), *document.get("layers", []), *filter(None, [document.get("config")])]
        assert {one["digest"] for one in named} <= there
        there.add(manifest.content.digest)
    assert image.tags["tag"] == image.top.content.digest


def test_kinds_have_what_collections_have_lost_before() -> None:
    """Children without tags, an attestation among them; a signature, and a referrer that only a fallback tag names."""
    index = build(Recipe("index", "seed", 1, 1000), "tag")
    assert [manifest.tag for manifest in index.manifests] == [None, None, None, "tag"]
    assert b"attestation-manifest" in index.top.content.body
    signed = build(Recipe("signed", "seed", 1, 1000), "tag")
    name = signed.top.content.digest.replace(":", "-")
    assert [manifest.tag for manifest in signed.manifests] == ["tag", f"{name}.sig", None, name]
    assert "subject" in json.loads(signed.manifests[2].content.body)


def test_nobody_deletes_what_is_read() -> None:
    state, generator = State(), random.Random(1)
    state.add(1, Claim(Name("r", "a"), RECIPE))
    assert state.take(2, generator) is None
    with state.reading(generator) as claim:
        assert claim is not None
        assert state.take(1, generator) is None
    assert state.take(1, generator) is claim
    with state.reading(generator) as nothing:
        assert nothing is None


@pytest.mark.parametrize(
    ("line", "status", "explained"),
    [
        ('level=fatal msg="writing blob: received unexpected HTTP status: 503 Service Unavailable"', 503, True),
        ('level=fatal msg="writing manifest: manifest blob unknown: blob unknown to registry"', -1, True),
        ('level=fatal msg="writing blob: uploading: unavailable: Pushes are paused"', -1, True),
        ('level=fatal msg="writing manifest: toomanyrequests: Pushes are paused"', -1, True),
        ('level=fatal msg="pinging container registry: dial tcp 10.0.0.1:80: connect: connection refused"', 0, False),
        ('level=fatal msg="writing blob: received unexpected HTTP status: 500 Internal Server Error"', 500, False),
    ],
)
def test_what_skopeo_was_told(line, status, explained) -> None:
    refusal = understand(f'time="2026-01-01T00:00:00Z" {line}')
    assert (refusal.status, refusal.explained) == (status, explained)
    assert refusal.message == line
