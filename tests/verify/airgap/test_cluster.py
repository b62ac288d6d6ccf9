# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster was made without the product's images."""

from __future__ import annotations

import json
import os

import pytest

from lab.versions import PULLED


@pytest.mark.skipif(bool(os.environ.get("HOMEPORT_KUBECONFIG")), reason="that cluster has what its owner put there")
def test_no_node_has_an_image_of_ours_but_from_the_bundle(node):
    images = json.loads(node.check_output("crictl images -o json"))["images"]
    names = {name for image in images for name in [*image["repoTags"], *image["repoDigests"]]}
    repositories = {name.rpartition(":")[0] for name in PULLED}
    assert any(name.startswith("docker.io/library/registry") for name in names)
    assert [name for name in names if name.rpartition(":")[0].partition("@")[0] in repositories] == []
