# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Go programs are built once, from committed sums, under their own names."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

from lab import components, golang, layout, shell
from lab.errors import LabError
from lab.versions import (
    CERT_MANAGER,
    COLUMNS,
    CONTAINERD_BEFORE,
    ETCD,
    GO_MINIMUM,
    METRICS_SERVER,
    PAUSE,
    PEBBLE,
    Family,
    kubernetes_family,
)

FAMILIES = {
    family.directory: family
    for column in COLUMNS.values()
    for family in (*components.families(column), CONTAINERD_BEFORE, CERT_MANAGER, METRICS_SERVER, PEBBLE)
}


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/arm64", (1, 27, 0)),
        ("go version go1.27rc2 linux/arm64", (1, 27, 0)),
        ("go version devel +abc", None),
        ("", None),
    ],
)
def test_the_release_of_a_toolchain(text: str, release: tuple[int, int, int] | None) -> None:
    assert golang.parse_version(text) == release


def test_every_family_has_its_module_and_every_module_its_family() -> None:
    assert {path.parent.name for path in golang.SOURCES.glob("*/go.mod")} == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_go_mod_pins_the_version_and_commits_its_sums(family: Family) -> None:
    folder = golang.SOURCES / family.directory
    text = (folder / "go.mod").read_text()
    asked = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", text, re.MULTILINE)
    assert asked is not None
    assert tuple(int(part or 0) for part in asked.groups()) <= GO_MINIMUM
    if family == PAUSE:
        return
    tools = set(re.findall(r"^\s*(?:tool )?([\w./-]+/[\w./-]+)$", text, re.MULTILINE))
    modules = dict(re.findall(r"^\s*(?:require )?([\w./-]+) (v[\w.+-]+)(?: // indirect)?$", text, re.MULTILINE))
    for package in family.programs.values():
        assert package in tools
        home = max((module for module in modules if f"{package}/".startswith(f"{module}/")), key=len)
        assert modules[home] == family.version
        assert f"{home} {family.version} h1:" in (folder / "go.sum").read_text()


def test_all_kubernetes_libraries_are_those_of_the_release() -> None:
    for column in COLUMNS.values():
        text = (golang.SOURCES / kubernetes_family(column).directory / "go.mod").read_text()
        replaced = re.findall(r"^replace (k8s\.io/\S+) => (\S+) (\S+)$", text, re.MULTILINE)
        assert len(replaced) > 30
        for module, instead, version in replaced:
            assert (instead, version) == (module, column.release.replace("v1.", "v0.", 1))


def test_the_key_follows_sources_programs_and_stamps(tmp_path: Path) -> None:
    folder = tmp_path / "etcd"
    folder.mkdir()
    (folder / "go.mod").write_text("module x\n")
    first = golang.family_key(ETCD, tmp_path)
    assert golang.family_key(ETCD, tmp_path) == first
    assert golang.family_key(dataclasses.replace(ETCD, stamps=("a.b=c",)), tmp_path) != first
    assert golang.family_key(dataclasses.replace(ETCD, programs={"etcd": "x/y"}), tmp_path) != first
    # The estimate printed to the user must not cost a build.
    assert golang.family_key(dataclasses.replace(ETCD, seconds=1), tmp_path) == first
    (folder / "go.sum").write_text("x v1 h1:\n")
    assert golang.family_key(ETCD, tmp_path) != first


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a compiler in place that writes the files named in the file returned, and the cache in a fresh place."""
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path / "cache"))
    wanted = tmp_path / "wanted"
    go = tmp_path / "go"
    go.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != -o ]; do shift; done\n'
        f'for name in $(cat {wanted}); do [ "$name" = fail ] && exit 3; echo "$name" > "$2$name"; done\n'
        f"echo run >> {tmp_path}/runs\n"
    )
    go.chmod(0o755)
    monkeypatch.setattr(golang, "toolchain", lambda: go)
    return wanted


def test_a_program_named_after_its_directory_gets_its_own_name(compiler: Path) -> None:
    compiler.write_text("server")
    assert golang.build(ETCD) == "built"
    assert golang.program(ETCD, "etcd").read_text() == "server\n"


def test_what_is_built_is_not_built_again(compiler: Path) -> None:
    compiler.write_text("etcd")
    assert [golang.build(ETCD), golang.build(ETCD)] == ["built", "cached"]
    assert (compiler.parent / "runs").read_text() == "run\n"


def test_programs_outlive_the_compiler_cache(compiler: Path) -> None:
    compiler.write_text("etcd")
    golang.build(ETCD)
    compiled = Path(golang.build_environment()["GOCACHE"])
    compiled.mkdir(parents=True)
    golang.forget_compiled()
    assert not compiled.exists()
    assert golang.build(ETCD) == "cached"


@pytest.mark.parametrize(("gib", "processors", "mib"), [(24, 2, 3072), (8, 2, 2048), (8, 16, 256), (4, None, 2048)])
def test_compilers_together_take_half_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, gib: int, processors: int | None, mib: int
) -> None:
    monkeypatch.setattr(golang.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gib << 18}.__getitem__)
    monkeypatch.setattr(golang.os, "cpu_count", lambda: processors)
    assert golang.build_environment()["GOMEMLIMIT"] == f"{mib}MiB"


def test_a_failed_build_leaves_nothing_that_looks_built(compiler: Path) -> None:
    compiler.write_text("etcd fail")
    with pytest.raises(LabError, match=r"failed \(3\).*\n  log: "):
        golang.build(ETCD)
    assert not golang.is_built(ETCD)
    with pytest.raises(LabError, match="python3 -m lab up"):
        golang.program(ETCD, "etcd")
    compiler.write_text("etcd")
    assert golang.build(ETCD) == "built"


def test_a_build_that_makes_something_else_is_refused(compiler: Path) -> None:
    compiler.write_text("surprise")
    with pytest.raises(LabError, match="surprise"):
        golang.build(ETCD)
    assert not golang.is_built(ETCD)


def test_builds_take_modules_only_as_committed(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(shell, "logged", lambda command, log, env, cwd: seen.append((command, env)))
    with pytest.raises(LabError):
        golang.build(ETCD)
    command, env = seen[0]
    assert "-mod=readonly" in command
    assert (env["CGO_ENABLED"], env["GOTOOLCHAIN"]) == ("0", "local")
    assert "GOPROXY" not in env
    assert Path(env["GOMODCACHE"]).is_relative_to(layout.cache())


def test_modules_are_fetched_for_what_is_to_be_built(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler.write_text("etcd")
    golang.build(ETCD)
    seen: list[tuple[list[str], str]] = []

    def refused(command: list[str], log: str, env: dict[str, str], cwd: Path) -> None:
        seen.append((command, cwd.name))
        raise LabError("no proxy")

    monkeypatch.setattr(shell, "logged", refused)
    # The build asks for the same again, and its failure is the one to be shown.
    assert golang.fetch([ETCD, PEBBLE]) == "for 1 of 2"
    assert golang.fetch([ETCD]) == "cached"
    ((command, folder),) = seen
    assert command[1:3] == ["list", "-deps"]
    assert command[-1:] == list(PEBBLE.programs.values())
    assert folder == "pebble"


def test_pause_reaps_and_ends(tmp_path: Path) -> None:
    """The one program of our own, built for real where a Go is at hand."""
    if golang.on_path() is None:
        pytest.skip("no Go on PATH")
    program = tmp_path / "pause"
    subprocess.run(
        [str(golang.on_path()), "build", "-o", str(program), "."],
        cwd=golang.SOURCES / "pause",
        env=shell.environment({"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}),
        check=True,
    )
    with subprocess.Popen([str(program)]) as running:
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.3)
        running.terminate()
        assert running.wait(5) == 0
