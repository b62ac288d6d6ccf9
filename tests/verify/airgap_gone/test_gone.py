# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is left of it on the nodes."""

from __future__ import annotations

from tests.verify.airgap.conftest import node

__all__ = ["node"]


def test_nothing_of_ours_is_left(node):
    for folder in ("docker.io", "registry.molecule.test:30743"):
        assert not node.file(f"/etc/containerd/certs.d/{folder}").exists
    assert not node.file("/var/lib/homeport").exists
    assert "homeport.registry" not in node.file("/etc/hosts").content_string
    left = node.check_output("ctr -n k8s.io images ls -q")
    for name in ("registry:3", "nginx:1", "python:3"):
        assert f"docker.io/library/{name}" not in left
