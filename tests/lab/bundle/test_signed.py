# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has to have signed what a delta builds on."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from ansible_collections.homeport.registry.plugins.modules import bundle_inventory


def keys(folder: Path, name: str) -> tuple[Path, str]:
    """Return a new private key and its public half."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return path, path.with_suffix(".pub").read_text()


def test_a_parent_has_to_be_signed(lock, stock, build, dest, key, tmp_path):
    stock.plain("app", "1", "linux/amd64", b"an old layer " * 100)
    lock("quay.example.com/app:1")
    parent = build()["volumes"][0]["file"]
    stock.plain("app", "2", "linux/amd64", b"a new layer " * 100)
    lock("quay.example.com/app:2", version="2")
    other = tmp_path / "other"
    other.mkdir()
    newer, line = keys(tmp_path, "newer")
    refused = build(parent=parent, key=str(newer), dest=str(other), trusted_keys=[line])
    assert refused["failed"]
    assert f"the signature of the parent {parent}" in refused["where"]
    assert "it was made with the key SHA256:" in refused["msg"]
    assert not list(other.iterdir())
    old_line = key.with_suffix(".pub").read_text()
    assert build(parent=parent, key=str(newer), dest=str(other), trusted_keys=[line, old_line])["changed"]
    # The document alone, as somebody may have kept it.
    with tarfile.open(parent) as tar:
        tar.extractall(other, members=[tar.getmember("bundle.json"), tar.getmember("bundle.json.sig")], filter="data")
    document = other / "bundle.json"
    assert build(parent=str(document))["left_out_bytes"]
    document.write_bytes(document.read_bytes().replace(b'"version":"1"', b'"version":"0"'))
    assert "is not what the key" in build(parent=str(document))["msg"]
    (other / "bundle.json.sig").unlink()
    unsigned = build(parent=str(document))
    assert "check the signature of the parent" in unsigned["msg"]
    assert unsigned["where"] == f"{document}.sig"


def test_an_inventory_has_to_be_signed_when_keys_are_given(lock, stock, build, server, run_module, tmp_path):
    stock.plain("app", "1", "linux/amd64", b"a layer " * 100)
    lock("quay.example.com/app:1")
    path, (site, line) = tmp_path / "inventory.json", keys(tmp_path, "site")
    other = keys(tmp_path, "other")[1]
    options = {"url": server.url, "timeout": 20.0, "dest": str(path)}
    run_module(bundle_inventory, **options)
    unsigned = build(inventory=str(path), inventory_keys=[line])
    assert unsigned["failed"]
    assert unsigned["where"] == f"{path}.sig"
    run_module(bundle_inventory, **options, key=str(site))
    # Whoever may have signed a bundle has not signed what the receiver has.
    assert "it was made with the key" in build(inventory=str(path), inventory_keys=[other], trusted_keys=[line])["msg"]
    assert build(inventory=str(path), inventory_keys=[other, line], check=True)["left_out_bytes"]
    path.write_text(path.read_text().replace("sha256:", "sha256: "))
    assert "is not what the key" in build(inventory=str(path), inventory_keys=[line])["msg"]
    assert not build(inventory=str(path)).get("failed")
    # A signature for something else proves nothing.
    (tmp_path / "inventory.json.sig").unlink()
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "homeport-bundle", "-f", site, path], check=True)
    assert "made for 'homeport-bundle'" in build(inventory=str(path), inventory_keys=[line])["msg"]
