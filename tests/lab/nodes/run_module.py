# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module of the collection by its main(): arguments as JSON on standard input, the result on standard output."""

from __future__ import annotations

import importlib
import json
import sys

from ansible.module_utils import basic

arguments = json.load(sys.stdin)
basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
# ansible-core 2.19 and newer refuse to run without a serialization profile.
basic._ANSIBLE_PROFILE = "legacy"
importlib.import_module(f"ansible_collections.homeport.registry.plugins.modules.{sys.argv[1]}").main()
