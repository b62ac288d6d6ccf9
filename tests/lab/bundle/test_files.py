# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collections, wheels and files are locked by their digests, with pip and ansible-galaxy as they are."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import parse_lock

from .shelves import collection, galaxy, wheel


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of collections that is all that Galaxy has."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "home"))
    with galaxy(folder) as address:
        monkeypatch.setenv("ANSIBLE_GALAXY_SERVER", address)
        yield folder


@pytest.fixture
def files(workplace):
    def files():
        path = workplace / "bundle.lock.json"
        return {one.file.path: one for one in parse_lock(path.read_bytes(), str(path)).files}

    return files


def test_wheels_for_every_python_and_machine(lock, files, index, tmp_path):
    for machine in ("x86_64", "aarch64"):
        wheel(index, "fast", "1.0", f"cp311-cp311-manylinux_2_17_{machine}.manylinux2014_{machine}", "pure_one")
        wheel(index, "fast", "1.0", f"cp312-cp312-manylinux_2_28_{machine}", "pure_one")
        # Too new a glibc for what is asked for.
        wheel(index, "fast", "1.1", f"cp312-cp312-manylinux_2_34_{machine}", "pure_one")
    pure = wheel(index, "pure_one", "2", "py3-none-any")
    python = {
        "packages": ["fast"],
        "versions": ["3.11", "3.12"],
        "platforms": ["manylinux_2_28_x86_64", "manylinux_2_28_aarch64"],
    }
    result = lock(python=python, check=True)
    assert result["changed"]
    assert result["files"] == 7
    lock(python=python)
    found = files()
    names = [path.removeprefix("files/wheels/") for path in found]
    assert names == [
        "fast-1.0-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "fast-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "fast-1.0-cp312-cp312-manylinux_2_28_aarch64.whl",
        "fast-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "pure_one-2-py3-none-any.whl",
        "requirements-3.11.txt",
        "requirements-3.12.txt",
    ]
    one = found["files/wheels/pure_one-2-py3-none-any.whl"]
    assert (one.file.name, one.file.version, one.file.pythons) == ("pure-one", "2", ("3.11", "3.12"))
    assert one.file.sha256 == hashlib.sha256(pure.read_bytes()).hexdigest()
    assert not lock(python=python)["changed"]
    assert not lock(python=python, check=True)["changed"]


def test_another_wheel_of_the_same_version_is_drift(lock, index):
    python = {"packages": ["pure==1"], "versions": ["3.12"], "platforms": ["manylinux_2_28_x86_64"]}
    wheel(index, "pure", "1", "py3-none-any")
    lock(python=python)
    wheel(index, "pure", "1", "py3-none-any", content="import os")
    result = lock(python=python, check=True)
    assert [one.partition(" ")[0] for one in result["changes"]] == [
        "files/wheels/pure-1-py3-none-any.whl:",
        "files/wheels/requirements-3.12.txt:",
    ]


def test_a_package_without_a_fitting_wheel_is_an_error_in_the_words_of_pip(lock, index, workplace):
    wheel(index, "fast", "1.0", "cp312-cp312-manylinux_2_34_x86_64")
    python = {"packages": ["fast"], "versions": ["3.12"], "platforms": ["manylinux_2_28_x86_64"]}
    result = lock(python=python)
    assert result["failed"]
    assert "download wheels for Python 3.12 on manylinux_2_28_x86_64" in result["msg"]
    assert "No matching distribution found for fast" in result["msg"]
    assert not list(workplace.iterdir())


def test_constraints_are_kept(lock, files, index, workplace):
    for version in ("1", "2"):
        wheel(index, "pure", version, "py3-none-any")
    (workplace / "constraints.txt").write_text("pure<2\n")
    python = {"packages": ["pure"], "versions": ["3.12"], "platforms": ["any"], "constraints": "constraints.txt"}
    lock(python=python)
    assert "files/wheels/pure-1-py3-none-any.whl" in files()


def test_collections_come_with_their_dependencies(lock, files, shelf):
    collection(shelf, "demo.base", "1.0.0")
    tarball = collection(shelf, "demo.shop", "2.1.0", demo__base=">=1.0.0")
    lock(collections=["demo.shop:2.1.0"])
    found = files()
    assert list(found) == [
        "files/collections/demo-base-1.0.0.tar.gz",
        "files/collections/demo-shop-2.1.0.tar.gz",
        "files/collections/requirements.yml",
    ]
    one = found["files/collections/demo-shop-2.1.0.tar.gz"]
    assert (one.origin, one.file.name, one.file.version) == ("galaxy", "demo.shop", "2.1.0")
    assert one.file.sha256 == hashlib.sha256(tarball.read_bytes()).hexdigest()
    assert not lock(collections=["demo.shop:2.1.0"])["changed"]
    result = lock(collections=["demo.shop:9.9.9"])
    assert result["failed"]
    assert "download demo.shop:9.9.9" in result["msg"]


def test_a_given_tarball_needs_its_dependencies(lock, files, workplace):
    collection(workplace / "given", "demo.shop", "2.1.0", demo__base="*")
    wish = ["given/demo-shop-2.1.0.tar.gz"]
    result = lock(collections=wish)
    assert result["failed"]
    assert "it needs demo.base, which is not in the wish" in result["msg"]
    collection(workplace / "given", "demo.base", "1.0.0")
    lock(collections=[*wish, "given/demo-base-1.0.0.tar.gz"])
    one = files()["files/collections/demo-base-1.0.0.tar.gz"]
    assert (one.origin, one.source) == ("here", "given/demo-base-1.0.0.tar.gz")
    (workplace / "given/broken.tar.gz").write_bytes(b"nothing")
    assert "it is no collection's tarball" in lock(collections=["given/broken.tar.gz"])["msg"]


def test_files_and_folders(lock, files, workplace):
    (workplace / "manifests/deep").mkdir(parents=True)
    (workplace / "manifests/app.yml").write_text("kind: List\n")
    (workplace / "manifests/deep/more.yml").write_text("kind: List\n")
    wish = ["manifests", {"src": "manifests/app.yml", "dest": "docs/first.yml"}]
    lock(files=wish)
    assert list(files()) == [
        "files/docs/first.yml",
        "files/manifests/app.yml",
        "files/manifests/deep/more.yml",
    ]
    result = lock(files=[*wish, {"src": "manifests/app.yml", "dest": "manifests/deep/more.yml"}])
    assert "two files would have this path" in result["msg"]
    (workplace / "manifests/.hidden").write_text("secret")
    result = lock(files=wish)
    assert result["failed"]
    assert "manifests/.hidden" in result["where"]
