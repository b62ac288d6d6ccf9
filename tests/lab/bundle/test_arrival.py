# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way: locked and built from one registry, verified and pushed to another one, and the next delta."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.modules import bundle_inventory, bundle_push, bundle_verify

SPARSE = {
    "validation": {
        "manifests": {"indexes": {"platforms": "list", "platformlist": [{"architecture": "amd64", "os": "linux"}]}}
    }
}


@pytest.fixture
def inside(start):
    return start(settings=SPARSE)


@pytest.fixture
def arrive(run_module, inside, key, tmp_path):
    """Return a function that verifies and pushes what is in a folder."""

    def arrive(folder):
        given = {"bundle": [str(folder)], "trusted_keys": [key.with_suffix(".pub").read_text()]}
        assert run_module(bundle_verify, **given)["verified"] is True
        result = run_module(bundle_push, url=inside.url, state_dir=str(tmp_path / "state"), **given)
        assert result["complete"] is True, result
        return result

    return arrive


def test_what_was_locked_is_served_inside(lock, build, stock, arrive, inside, dest, run_module, tmp_path):
    index, children = stock.multi("library/nginx", "1.27", attested=True)
    listed, _children = stock.multi("app", "1", docker=True)
    proof = stock.referrer("library/nginx", index)
    stock.signature("library/nginx", children["linux/amd64"])
    names = ["nginx:1.27", "quay.example.com/app:1"]
    lock(*names, platforms=["linux/amd64"])
    build()
    first = arrive(dest)
    assert first["changed"] is True
    assert arrive(dest)["changed"] is False
    transport = Transport(timeout=20)
    session = Session(transport, inside.url)
    for repository, tag, pushed in (
        ("docker.io/library/nginx", "1.27", index),
        ("quay.example.com/app", "1", listed),
        ("docker.io/library/nginx", proof.digest, proof),
    ):
        assert client.get_manifest(session, repository, tag).digest == pushed.digest
    # A new layer for one image: the delta on what is inside carries little more than that.
    inventory = tmp_path / "inventory.json"
    run_module(bundle_inventory, url=inside.url, dest=str(inventory))
    newer, _children = stock.multi("app", "1", docker=True, extra=b"more")
    lock(*names, platforms=["linux/amd64"], version="2")
    later = tmp_path / "later"
    later.mkdir()
    build(dest=str(later), inventory=str(inventory))
    result = arrive(later)
    assert 0 < result["totals"]["sent"] < first["totals"]["sent"] // 2
    assert client.get_manifest(session, "quay.example.com/app", "1").digest == newer.digest
    transport.close()
