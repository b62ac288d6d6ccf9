# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promises of the project as a whole: what is packaged, what no file says, what the documents name."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.unit.contract.collection import installed, load, roles
from tools.paths import ROOT, project_files

FILES = project_files()
# Put together here, so that this file does not say them either.
PACKAGE_SERVERS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("galaxy", "ansible", "com"),
        ("crates", "io"),
        ("repo1", "maven", "org"),
    )
]
MACHINE_PATHS = re.compile(
    "|".join(["/work/" + r"(main|shared|\.)", "/tmp/" + "hp", "/root/" + r"\.", "/home/" + r"[a-z]", "/" + "Users/"])
)
UNSOLVED = re.compile(r"(?m)^(<{7}|>{7})( |$)")
LINE_LIMIT = 400


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def test_no_file_names_a_package_server() -> None:
    found = [f"{name}: {host}" for name in FILES for host in PACKAGE_SERVERS if host in text_of(name)]
    assert not found


def test_no_file_names_a_path_of_one_machine() -> None:
    assert not [f"{name}: {match[0]}" for name in FILES if (match := MACHINE_PATHS.search(text_of(name)))]


def test_no_file_is_too_long_to_read() -> None:
    sources = [name for name in FILES if name.endswith((".py", ".yml", ".j2", ".sh"))]
    assert not {name: lines for name in sources if (lines := text_of(name).count("\n")) > LINE_LIMIT}


@pytest.mark.parametrize(
    "folder", ["plugins", "roles", "playbooks", "meta", "inventories/example", "inventories/controller"]
)
def test_every_file_of_the_collection_is_packaged(folder: str) -> None:
    packaged = {entry["name"] for entry in json.loads((installed() / "FILES.json").read_text("utf-8"))["files"]}
    assert {name for name in FILES if name.startswith(f"{folder}/")} <= packaged


@pytest.mark.parametrize("folder", ["lab", "molecule", "tools", "requirements", "tests/unit", "inventories/lab"])
def test_nothing_else_is_packaged(folder: str) -> None:
    assert not (installed() / folder).exists()


@pytest.mark.parametrize("name", ["community.crypto", "kubernetes.core"])
def test_the_tested_collection_satisfies_our_dependency(name: str) -> None:
    package = importlib.import_module(f"ansible_collections.{name}")
    tested = json.loads((Path(next(iter(package.__path__))) / "MANIFEST.json").read_text("utf-8"))["collection_info"]
    wanted = json.loads((installed() / "MANIFEST.json").read_text("utf-8"))["collection_info"]["dependencies"]
    assert sorted(wanted) == ["community.crypto", "kubernetes.core"]
    assert SpecifierSet(wanted[name]).contains(tested["version"])


def test_the_pinned_libraries_satisfy_the_execution_environment() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(.+)$", text_of("requirements/run.txt"), re.MULTILINE))
    floors = re.findall(r"^([\w-]+)(>=.+)$", text_of("meta/ee-requirements.txt"), re.MULTILINE)
    assert floors
    assert not [name for name, floor in floors if not SpecifierSet(floor).contains(pins[name])]


def test_there_is_one_floor_for_ansible_core() -> None:
    runtime = load(text_of("meta/runtime.yml"))["requires_ansible"]
    floor = runtime.removeprefix(">=").removesuffix(".0")
    for role in roles():
        info = load((role / "meta" / "main.yml").read_text(encoding="utf-8"))["galaxy_info"]
        assert info["min_ansible_version"] == floor, role.name
    assert f"ansible-core {floor}" in text_of("README.md")


@pytest.mark.parametrize("document", [name for name in FILES if name.endswith(".md")])
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text_of(document))) <= targets


@pytest.mark.parametrize("document", [name for name in FILES if name.endswith(".md")])
def test_every_local_link_of_a_document_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(document))
    assert not [link for link in links if not ((ROOT / document).parent / link).exists()]


def test_no_conflict_is_left_unsolved() -> None:
    assert not [name for name in FILES if UNSOLVED.search(text_of(name))]
