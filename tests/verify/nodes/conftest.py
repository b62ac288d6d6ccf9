# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the nodes share."""

from __future__ import annotations

import platform

from tests.verify import oci
from tests.verify.clients import Client
from tests.verify.fixtures import ROOT
from tests.verify.nodes.program import program
from tests.verify.registry import Account

NODES = ("homeport-control-plane", "homeport-worker")
INVENTORY = ("-i", str(ROOT / "molecule" / "nodes" / "inventory"))


def push_program(client: Client, writer: Account) -> None:
    """Push the smallest image that runs as nodes/app:1."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    layout = oci.program_image(program(architecture), architecture)
    done = client.push(client.put(layout), "nodes/app:1", writer)
    assert done.rc == 0, done.stderr
