# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the pinned virtual environment in the cache, and run commands inside it.

Runs on a bare Debian machine: standard library only, Python 3.9 or newer.

    python3 -m tools.venv               make it, print its folder
    python3 -m tools.venv run CMD ...   make it, then become CMD with it first in PATH
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.paths import ROOT, cache_dir, content_key

REQUIREMENTS = ("run", "test", "lint")


class BootstrapError(Exception):
    """The machine lacks something that this program may not or could not install."""


def requirement_files() -> list[Path]:
    """Return the requirement files, the constraints last."""
    folder = ROOT / "requirements"
    return [*(folder / f"{name}.txt" for name in REQUIREMENTS), folder / "constraints.txt"]


def venv_dir() -> Path:
    """Return the folder of the environment for this Python and these requirements."""
    # Paths are left out of the key: two checkouts with the same pins share one environment.
    bodies = [path.read_text(encoding="utf-8") for path in requirement_files()]
    key = content_key([], *bodies, sys.version, os.path.realpath(sys.executable))
    return cache_dir() / f"venv-{key}"


def apt_install(*packages: str) -> None:
    """Install Debian packages. Raises BootstrapError where that is impossible."""
    wanted = " ".join(packages)
    if not shutil.which("apt-get"):
        raise BootstrapError(f"'{wanted}' is missing and this machine has no apt-get; install it and repeat")
    if os.geteuid() != 0:
        raise BootstrapError(f"'{wanted}' is missing; install it as root: apt-get install {wanted}")
    print(f"installing from Debian: {wanted}", file=sys.stderr, flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    # The lists of a fresh machine are empty or old, so a first failure is not the last word.
    if subprocess.run(install, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return
    subprocess.run(["apt-get", "update", "-qq"], env=env, stdout=sys.stderr)
    done = subprocess.run(install, env=env, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        raise BootstrapError(f"apt-get could not install '{wanted}' (exit code {done.returncode})")


def ensure_program(program: str, package: str) -> None:
    """Install the Debian package that holds a program, unless the program is in PATH. Raises BootstrapError."""
    if not shutil.which(program):
        apt_install(package)


def make(target: Path, python: str, *pip_arguments: str) -> Path:
    """Return the virtual environment in the folder, made with pip's arguments unless it is complete.

    Raises BootstrapError or subprocess.CalledProcessError when it cannot be made.
    """
    done = target / "complete"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return target
        if target.exists():
            shutil.rmtree(target)
        print(f"making {target} (about two minutes, once)", file=sys.stderr, flush=True)
        subprocess.run([python, "-m", "venv", str(target)], check=True, stdout=sys.stderr)
        made = str(target / "bin" / "python")
        pip = [made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*pip, *pip_arguments], check=True, stdout=sys.stderr)
        # On all processors, and without the collections, most of which nobody imports: pip would take twice the time.
        compiler = [made, "-m", "compileall", "-q", "-j", "0", "-x", "/ansible_collections/", str(target / "lib")]
        # Files that are templates, or for another Python, do not compile, which matters to nobody.
        subprocess.run(compiler, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done.touch()
    return target


def ensure() -> Path:
    """Return the folder of the environment with the pinned requirements, made complete if it was not."""
    target = venv_dir()
    if (target / "complete").exists():
        return target
    if importlib.util.find_spec("ensurepip") is None:
        apt_install("python3-venv")
    *wanted, constraints = requirement_files()
    return make(target, sys.executable, *(f"-r{path}" for path in wanted), f"-c{constraints}")


def environment(folder: Path) -> dict[str, str]:
    """Return this process's environment with the folder's programs and the lab's tools first in PATH."""
    path = os.pathsep.join([str(folder / "bin"), str(ROOT / ".lab" / "bin"), os.environ.get("PATH", os.defpath)])
    env = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(folder), "HOMEPORT_CACHE": str(cache_dir())}
    env.pop("PYTHONHOME", None)
    # Tool caches belong with the others: nothing but sources lies in the checkout.
    env.setdefault("MYPY_CACHE_DIR", str(cache_dir() / "mypy"))
    env.setdefault("RUFF_CACHE_DIR", str(cache_dir() / "ruff"))
    return env


def main(argv: list[str]) -> int:
    """Run the command line; return the exit code."""
    try:
        folder = ensure()
    except (BootstrapError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if argv[:1] == ["run"] and len(argv) > 1:
        os.execvpe(argv[1], argv[1:], environment(folder))
    if argv:
        print(__doc__, file=sys.stderr)
        return 2
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
