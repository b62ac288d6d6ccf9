# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""For how long a node remembers directories that other nodes change."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._gc_store import seconds_remembered

ROOT = "/var/lib/registry"
MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:40 / /var rw - nfs4 server:/var rw,vers=4.2,acdirmax=7
23 21 0:41 / /var/lib/registry-old rw - nfs4 server:/old rw,vers=4.2,acdirmax=9
"""


@pytest.mark.parametrize(
    ("mount", "seconds"),
    [
        ("24 21 8:2 / /var/lib/registry rw - ext4 /dev/sdb rw", 0),
        ("24 21 0:42 / /var/lib/registry rw,relatime - nfs4 server:/depot rw,vers=4.2,hard,addr=10.0.0.1", 60),
        ("24 21 0:42 / /var/lib/registry rw,relatime shared:7 - nfs server:/depot rw,acdirmin=5,acdirmax=20", 20),
        ("24 21 0:42 / /var/lib/registry rw - nfs4 server:/depot rw,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0", 0),
        ("24 21 0:42 / /var/lib/registry rw - nfs4 server:/depot rw,noac", 0),
        ("24 21 0:43 / /var/lib/registry/docker rw - tmpfs tmpfs rw", 7),
    ],
)
def test_only_nfs_remembers(mount: str, seconds: float) -> None:
    assert seconds_remembered(ROOT, f"{MOUNTS}{mount}\n") == seconds
