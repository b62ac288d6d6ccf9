# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The far side of an air gap by the jobs of a controller, each with what the one before has left."""

from __future__ import annotations

from tests.lab.airgap.conftest import INSTALL, Undisturbed
from tests.lab.airgap.media import APP, HOST, Media
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

    site.take(media.second)
    update = launch(UPDATE, look.artifacts)
    told = ours(update, UPDATE)
    assert (told["before"], told["after"]["version"], told["changed"]) == (made["after"], "2", True)
    assert (told["new"], told["changed_images"], told["removed"], told["nodes"]) == (1, 1, 0, site.nodes)
    served, digests = site.served(), media.second.digests()
    assert {name: served[name.rpartition(":")[0]][name.rpartition(":")[2]] for name in digests} == digests
    for node in site.nodes:
        pulled = {one for one, _labels in site.images(node).values()}
        assert pulled & {digests[APP], digests[f"{HOST}/newcomer:1"]}
    kept_no_secret(site, undisturbed.job, look, update)
