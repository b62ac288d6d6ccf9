# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The far side of an air gap by the jobs of a controller, each with what the one before has left."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError
from tests.lab.airgap.conftest import INSTALL, Undisturbed
from tests.lab.airgap.media import APP, Media
from tests.lab.controller.depot import kept_no_secret, ours

UPDATE, VERIFY = "homeport_airgap_update", "homeport_airgap_verify"


def test_one_bundle_after_the_other(undisturbed: Undisturbed, media: Media) -> None:
    site, launch = undisturbed.site, undisturbed.site.controller.launch
    built = media.first.built["homeport_airgap_build"]
    made = ours(undisturbed.job, INSTALL)
    assert made["before"] == {}
    assert made["after"] == {key: built[key] for key in ("name", "version", "sha256")}
    assert (made["changed"], made["images"], made["new"], made["nodes"]) == (True, 4, 4, site.nodes)

    look = launch(VERIFY, undisturbed.job.artifacts)
    proven = ours(look, VERIFY)
    assert (proven["ok"], proven["problems"], proven["bundle"]) == (True, [], made["after"])
    assert (proven["nodes"], proven["pulled"], proven["images"]) == (site.nodes, site.nodes, 4)
    assert not look.changed

    # From here on everybody needs an account, and nodes are shown no mirror, since they show it none.
    site.take(media.second)
    variables = site.controller.hosts["registry.example.com"]
    variables |= {"registry_auth_anonymous_pull": False, "registry_airgap_mirrors": False}
    update = launch(UPDATE, look.artifacts)
    told = ours(update, UPDATE)
    assert (told["before"], told["after"]["version"], told["changed"]) == (made["after"], "2", True)
    assert (told["new"], told["changed_images"], told["removed"]) == (1, 1, 0)
    served, digests = site.served(), media.second.digests()
    assert {name: served[name.rpartition(":")[0]][name.rpartition(":")[2]] for name in digests} == digests

    # A delta brings nothing of what a node that is new begins with. The registry has it, for those with an account.
    held = site.images(site.nodes[1])
    site.empty_nodes(site.nodes[1])
    assert site.images(site.nodes[1]) == {}
    with pytest.raises(HttpError, match="401"):
        client.get_manifest(site.session(site.authority(), account=False), APP.rpartition(":")[0], "1")
    join = launch(INSTALL, update.artifacts)
    assert not ours(join, INSTALL)["changed"]
    assert site.images(site.nodes[1]).keys() == {name for name, (_digest, labels) in held.items() if "held" in labels}
    kept_no_secret(site, undisturbed.job, look, update, join)
