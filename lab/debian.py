# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian base that every built image with a file system stands on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab import packages, scratch, shell
from lab.content import key_of
from lab.engine import Engine
from lab.errors import LabError
from lab.versions import DEBIAN_SUITE

NAME = "homeport.lab/debian:12"
KEY_LABEL = "homeport.lab.key"
INCLUDE = ("ca-certificates",)
RECIPE = "1"


def key() -> str:
    """Return the content key of the base."""
    return key_of(RECIPE, DEBIAN_SUITE, *INCLUDE)


def build(engine: Engine) -> str:
    """Make the base unless the engine has it; say which it was."""
    if engine.label(NAME, KEY_LABEL) == key():
        return "cached"
    with scratch.directory() as directory:
        root = directory / "root"
        sources = archive_lines(_index_targets(), DEBIAN_SUITE)
        mirror = [sources[0].split()[1]] if sources else []
        options = ["--variant=minbase", f"--include={','.join(INCLUDE)}"]
        shell.logged(["debootstrap", *options, DEBIAN_SUITE, str(root), *mirror], "debootstrap")
        if sources:
            (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(root / waste, ignore_errors=True)
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        _import(engine, root)
    return "built"


def _index_targets() -> str:
    done = shell.attempt(["apt-get", "indextargets", "--format", "$(CREATED_BY) $(SITE) $(CODENAME) $(COMPONENT)"])
    return done.stdout


def archive_lines(targets: str, suite: str) -> list[str]:
    """Return sources.list lines for ``suite`` and its updates out of this machine's own archives.

    ``targets`` is the answer of ``apt-get indextargets``. The suite itself
    comes first; the result is empty where this machine does not use the suite,
    and debootstrap then falls back to its own default.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for line in targets.splitlines():
        words = line.split()
        if len(words) != 4 or words[0] != "Packages":
            continue
        _, site, codename, component = words
        if codename in (suite, f"{suite}-updates", f"{suite}-security"):
            found.setdefault((codename, site), set()).add(component)
    suites = [codename for codename, _ in found]
    if suite not in suites:
        return []
    return [f"deb {site} {codename} main" for (codename, site), _ in sorted(found.items())]


def _import(engine: Engine, root: Path) -> None:
    """Hand the directory ``root`` to the engine as the image NAME."""
    env = shell.environment(engine.environment())
    with shell.log_path("debootstrap").open("ab") as log:
        packed = subprocess.Popen(
            ["tar", "--numeric-owner", "-C", str(root), "-c", "."], stdout=subprocess.PIPE, stderr=log
        )
        taken = subprocess.run(
            ["docker", "import", "--change", f"LABEL {KEY_LABEL}={key()}"]
            + ["--change", f"ENV PATH={packages.SYSTEM_PATH}"]
            + ["--change", 'CMD ["/bin/sh"]', "-", NAME],
            stdin=packed.stdout,
            stdout=log,
            stderr=log,
            env=env,
            check=False,
        )
        if packed.wait() or taken.returncode:
            raise LabError(f"the Debian base cannot be imported\n  log: {shell.log_path('debootstrap')}")
