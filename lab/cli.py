# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python3 -m lab up|down|status|clean|env|add|load``."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence

from lab import (
    addons,
    cluster,
    daemon,
    engine,
    flavour,
    layout,
    packages,
    preflight,
    scratch,
    shell,
    status,
    steps,
    versions,
)
from lab.errors import LabError
from lab.progress import run_steps


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python3 -m lab", description="A real two-node Kubernetes cluster by kind.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up_ = commands.add_parser("up", help="make the cluster, or reuse the running one")
    up_.add_argument(
        "--engine",
        choices=engine.CHOICES,
        default=os.environ.get("HOMEPORT_LAB_ENGINE", "auto"),
        help="container engine: the machine's, the lab's own, or whichever there is (HOMEPORT_LAB_ENGINE)",
    )
    up_.add_argument(
        "--images",
        choices=flavour.CHOICES,
        default=os.environ.get("HOMEPORT_LAB_IMAGES", "auto"),
        help="pull upstream images, build all from Go modules and Debian packages, or choose (HOMEPORT_LAB_IMAGES)",
    )
    columns = ", ".join(sorted(versions.COLUMNS))
    up_.add_argument("--kubernetes", metavar="X.Y", help=f"one of {columns} (HOMEPORT_KUBERNETES)")
    up_.add_argument("--bare", action="store_true", help="without the product's images, as a cluster behind an air gap")
    commands.add_parser("down", help="remove the cluster, keep engine, images and build cache")
    commands.add_parser("status", help="show what there is; exit status 1 when there is no working cluster")
    commands.add_parser("clean", help="down, then stop the lab's own engine; keeps the build cache")
    commands.add_parser("env", help='print shell lines for: eval "$(python3 -m lab env)"')
    add_ = commands.add_parser("add", help="install add-ons into the running cluster, or find them installed")
    add_.add_argument(
        "addons", nargs="+", choices=sorted(addons.ADDONS), metavar="ADDON", help=", ".join(addons.ADDONS)
    )
    load_ = commands.add_parser("load", help="load an image from the engine into both nodes")
    load_.add_argument("image", metavar="IMAGE")
    return top


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Let one lab command at a time change things on this machine."""
    try:
        handle = layout.LOCK.open("a")
    except PermissionError as error:
        raise LabError("the lab starts containers and sets routes: run it as root (sudo)") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another lab command to end ...", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def up(wanted_engine: str, wanted_images: str, column: versions.Kubernetes, bare: bool = False) -> None:
    """Make the cluster or reuse the running one."""
    shell.forget_logs()
    scratch.clear()
    running, started = engine.choose(allowed("engine", wanted_engine, engine.CHOICES))
    print(f"engine: {running.kind}, {'started' if started else 'running'}", flush=True)
    chosen = flavour.choose(allowed("images", wanted_images, flavour.CHOICES), running, column)
    print(f"images: {chosen}; logs: {layout.logs()}", flush=True)
    # After a restart of the engine the nodes have new addresses: such a cluster is made anew.
    if not started and steps.is_reusable(running, chosen, column, bare):
        print("cluster: running, of the same recipe; reused", flush=True)
        plan = steps.reuse_steps(running, chosen)
    else:
        plan = steps.prepare_steps(running, chosen, column) + steps.cluster_steps(running, chosen, column, bare)
    seconds = run_steps(plan)
    print(f'lab ready after {seconds:.0f} s; use it with: eval "$(python3 -m lab env)"')


def allowed(what: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``choices``; it may come from the environment, unseen by argparse."""
    if value not in choices:
        raise LabError(f"{what} must be one of {', '.join(choices)}, not {value}")
    return value


def down() -> None:
    """Remove the cluster."""
    layout.KUBECONFIG.unlink(missing_ok=True)
    running = engine.current()
    print(f"cluster: {cluster.delete(running) if running else 'none (no engine is running)'}")
    cluster.forget_shared()


def clean() -> None:
    """Remove the cluster, stop the lab's own engine, remove the lab's state; keep the build cache."""
    down()
    if daemon.answers():
        # With the network go its bridge and the routes over it.
        engine.OWN.ask("network", "rm", "kind")
    print(f"own engine: {daemon.stop()}")
    shutil.rmtree(layout.STATE, ignore_errors=True)
    print(f"kept: the build cache and the engine's images in {layout.cache()} (remove it to start from nothing)")


def env_lines() -> list[str]:
    """Return the shell lines that make kubectl, kind and docker talk to the lab."""
    running = engine.current()
    values = {"KUBECONFIG": str(layout.KUBECONFIG)}
    if running is not None and running.host:
        values["DOCKER_HOST"] = running.host
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return [*lines, f'export PATH={shlex.quote(str(layout.BIN))}:"$PATH"']


def _running() -> engine.Engine:
    """Return the engine that runs the cluster."""
    running = engine.current()
    if running is None or not cluster.is_running(running):
        raise LabError("no cluster is running; run: python3 -m lab up")
    return running


def add(names: Sequence[str]) -> None:
    """Install add-ons, and those that they need, into the running cluster."""
    plan = addons.steps(_running(), addons.in_order(names))
    if plan:
        run_steps(plan)
    print(f"installed: {', '.join(addons.in_order(names))}")


def load(image: str) -> None:
    """Load ``image`` from the engine into both nodes."""
    running = _running()
    cluster.kind(running, "load", "docker-image", image, "--name", layout.CLUSTER)
    print(f"loaded {image} into {', '.join(layout.NODES)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    given = parser().parse_args(arguments)
    # A plain "su" leaves the system's own directories out of PATH.
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{packages.SYSTEM_PATH}"
    try:
        if given.command == "status":
            found = status.report()
            print("\n".join(found.lines))
            return 0 if found.ready else 1
        if given.command == "env":
            print("\n".join(env_lines()))
            return 0
        column = versions.kubernetes(getattr(given, "kubernetes", None))
        if given.command == "up":
            print(f"machine: {preflight.check(steps.is_cold(column))}", flush=True)
        with exclusive():
            if given.command == "up":
                up(given.engine, given.images, column, given.bare)
            elif given.command == "down":
                down()
            elif given.command == "clean":
                clean()
            elif given.command == "add":
                add(given.addons)
            else:
                load(given.image)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; the same command takes up where this one ended", file=sys.stderr)
        return 130
    return 0
