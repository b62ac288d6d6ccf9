# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written for platforms that were not there to read it is at least understood by a real containerd."""

from __future__ import annotations

import email
import typing as t

import yaml

from ansible_collections.homeport.registry.plugins.filter.node_documents import node_documents


def trusted(machine, depot, document: str, drop_in: str) -> str:
    """Start a containerd with a drop-in and a document's files below its own root; return the error of a pull."""
    folder = machine.config.parent / "conf.d"
    folder.mkdir()
    (folder / "10-document.toml").write_text(drop_in.replace("/etc/containerd/certs.d", str(machine.root)))
    machine.config.write_text(f'imports = ["{folder}/*.toml"]\n' + machine.usual())
    for one in yaml.safe_load(document)["write_files"]:
        if "certs.d" in one["path"]:
            path = machine.root / one["path"].partition("certs.d/")[2]
            path.parent.mkdir(parents=True)
            path.write_text(one["content"])
    machine.start()
    said: str = machine.pull(depot.image)
    return said


def test_the_files_for_k0s(build, new, depot):
    (text,) = node_documents([depot.wish()], "k0s").values()
    files = {one["path"]: one["content"] for one in yaml.safe_load(text)["write_files"]}
    machine = build(new, start=False)
    assert trusted(machine, depot, text, files["/etc/k0s/containerd.d/homeport.toml"]) == ""


def test_the_user_data_for_eks(build, new, depot):
    (text,) = node_documents([depot.wish()], "eks").values()
    message: t.Any = email.message_from_string(text)
    files, node = message.get_payload()
    config = yaml.safe_load(node.get_payload())["spec"]["containerd"]["config"]
    machine = build(new, start=False)
    assert trusted(machine, depot, files.get_payload(), f"version = 3\n{config}") == ""
