# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""containerd's configuration: what is in force, and the one change that makes it read certs.d. Private."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import tempfile
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_managers import KUBESPRAY_CONFIG, is_kubespray
from ansible_collections.homeport.registry.plugins.module_utils._node_process import Done, run
from ansible_collections.homeport.registry.plugins.module_utils._node_toml import Document, Path, dotted

DEFAULT_CONFIG = "/etc/containerd/config.toml"
DEFAULT_ROOT = "/etc/containerd/certs.d"
Version = tuple[int, ...]

_OLD_CRI = "io.containerd.grpc.v1.cri"
_IMAGES = "io.containerd.cri.v1.images"
_CRI_NAMES = {1: {"cri", _OLD_CRI}, 2: {"cri", _OLD_CRI, _IMAGES, "io.containerd.cri.v1.runtime"}}


@dataclasses.dataclass(frozen=True)
class Effective:
    """The configuration that containerd uses, drop-ins included.

    `root` is the directory that pulls read, or empty; `reason` then says why there is none.
    """

    version: Version
    dump: Document
    config_path: str
    root: str
    reason: str


def read_version(program: str) -> Version:
    """Return the version of a containerd program.

    Raises:
        NodeError: when it says none.
    """
    done = run([program, "--version"])
    found = re.search(r"\bv?(\d+)\.(\d+)\.(\d+)", done.output)
    if done.code or not found:
        raise NodeError(
            "ask containerd for its version",
            where=program,
            got=done.said or "no version",
            remedy="Check that this is containerd and that it runs on this node.",
        )
    return tuple(int(part) for part in found.groups())


def dump(program: str, config: str) -> Done:
    """Let containerd read a configuration and print what it makes of it; the default one where it has no file."""
    chosen = ["--config", config] if config != DEFAULT_CONFIG or os.path.exists(config) else []
    return run([program, *chosen, "config", "dump"])


def registry_table(major: int, file_version: int) -> Path:
    """Return the table that holds config_path, in a file of this version read by containerd of this major version."""
    if file_version < 2:
        return ("plugins", "cri", "registry")
    if major < 2 or file_version == 2:
        return ("plugins", _OLD_CRI, "registry")
    return ("plugins", _IMAGES, "registry")


def dumped_table(major: int) -> Path:
    """Return the same for what `config dump` prints, which is always of the newest version that containerd knows."""
    return registry_table(major, 2 if major < 2 else 3)


def judge(version: Version, settings: Document) -> Effective:
    """Return what a dumped configuration means for pulls."""
    table = dumped_table(version[0])
    config_path = str(settings.get(*table, "config_path") or "")
    local = bool(settings.get("plugins", _IMAGES, "use_local_image_pull"))
    root = reason = ""
    if not config_path and version < (2, 2):
        reason = "config_path is not set, so certs.d is not read at all"
    elif not config_path:
        reason = "config_path is not set, and the default of two directories is read as one by this version"
    elif ":" in config_path and version >= (2, 1) and not local:
        reason = f"config_path is {config_path}, and this version reads a list of directories as one name"
    else:
        root = config_path.partition(":")[0]
    return Effective(version, settings, config_path, root, reason)


def effective(program: str, config: str, version: Version) -> Effective:
    """Return the configuration in force.

    Raises:
        NodeError: when containerd cannot read it, or it keeps CRI from working.
    """
    done = dump(program, config)
    if done.code:
        raise NodeError(
            "read containerd's configuration",
            where=config,
            got=f"containerd refuses it: {done.said}",
            remedy="Correct the file: containerd runs with an older one and would not start again.",
        )
    found = judge(version, Document(done.output, "containerd config dump"))
    refuse_what_stops_cri(found, config)
    return found


def refuse_what_stops_cri(found: Effective, config: str) -> None:
    """Refuse a configuration with which CRI does not run, or would not run with certs.d.

    Raises:
        NodeError: naming the setting.
    """
    major = min(found.version[0], 2)
    disabled = set(found.dump.get("disabled_plugins") or []) & _CRI_NAMES[major]
    if disabled:
        raise NodeError(
            "use this containerd for Kubernetes",
            where=config,
            got=f"disabled_plugins holds {', '.join(sorted(disabled))}: CRI is off, as in Docker's own package",
            remedy="Take it out of disabled_plugins and restart containerd.",
        )
    table = dumped_table(found.version[0])
    registry = found.dump.get(*table) or {}
    inline = [f"mirrors.{name}" for name in registry.get("mirrors") or {}]
    if found.version[0] < 2:
        configs = registry.get("configs") or {}
        inline += [f"configs.{name}.tls" for name, one in configs.items() if one.get("tls")]
    if inline:
        state = (
            "which together with config_path turns CRI off while containerd goes on running"
            if found.config_path
            else "which excludes config_path"
        )
        # Imported here alone: nodes compile what they import at each run.
        from ansible_collections.homeport.registry.plugins.module_utils._node_inline import advice

        entries = advice(registry)
        said = f"Add what they say to the inventory, {entries}" if entries else "They say nothing that is still needed"
        way = (
            "delete their tables here and in drop-ins, and run again: containerd goes on with what it has read until"
            " that run restarts it, once."
        )
        if is_kubespray():
            # It would bring them back.
            way = f"take them out of containerd_registries_mirrors. {KUBESPRAY_CONFIG}"
        raise NodeError(
            "let containerd read certs.d",
            where=config,
            got=f"[{dotted(table)}] holds {', '.join(inline)}, {state}",
            remedy=f"{said}; {way}",
        )


def imports_of(text: str, config: str, found: Effective) -> list[str]:
    """Return the drop-in files that containerd reads after its main file, and the patterns that find them."""
    patterns = Document(text, config).get("imports")
    if patterns is None:
        patterns = found.dump.get("imports")
    paths = []
    for pattern in patterns or []:
        full = os.path.join(os.path.dirname(config), pattern)
        paths += [path for path in sorted(glob.glob(full)) if path != config]
        paths += [full] if glob.has_magic(full) else []
    return paths


def with_root(text: str | None, config: str, version: Version, root: str) -> str:
    """Return the text of a configuration in which config_path is one directory; nothing else changes.

    Args:
        text: the file as it is, None where there is none.
        config: its path, for messages.
        version: of containerd.
        root: the directory.

    Raises:
        TomlError: when the text is not TOML or the table is written inline.
    """
    if text is None:
        text = f"version = {2 if version[0] < 2 else 3}\n"
    settings = Document(text, config)
    return settings.with_string(registry_table(version[0], _file_version(settings)), "config_path", root)


def _file_version(settings: Document) -> int:
    stated = settings.get("version")
    return stated if isinstance(stated, int) else 1


def validate(program: str, config: str, text: str, before: Effective, root: str) -> None:
    """Let containerd read a candidate, and compare: config_path is the one and only difference.

    Raises:
        NodeError: when it is refused, ineffective, or changes more.
    """
    folder = os.path.dirname(config)
    try:
        # No .toml at the end: a drop-in pattern of the same directory must not find it.
        handle, candidate = tempfile.mkstemp(
            prefix=".homeport-candidate-", dir=folder if os.path.isdir(folder) else None
        )
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            done = run([program, "--config", candidate, "config", "dump"])
        finally:
            os.unlink(candidate)
    except OSError as exc:
        raise NodeError(
            "try a new configuration beside the one of containerd",
            where=folder,
            got=str(exc.strerror or exc),
            remedy="Nothing was changed. Run as root (become), and see that the file system is writable and not full.",
        ) from exc
    if done.code:
        raise NodeError(
            "change containerd's configuration",
            where=config,
            got=f"containerd refuses the new text: {done.said}",
            remedy="Nothing was changed. Set config_path by hand and run again.",
        )
    after = judge(before.version, Document(done.output, "containerd config dump"))
    if after.root != root or after.config_path != root:
        raise _ineffective(config, text, before, after.config_path, root)
    old, new = before.dump.flat(), after.dump.flat()
    key = (*dumped_table(before.version[0]), "config_path")
    expected = {key, ("version",), ("imports",)}
    others = sorted(
        dotted(path) for path in set(old) | set(new) if old.get(path) != new.get(path) and path not in expected
    )
    if others:
        raise NodeError(
            "change nothing but config_path",
            where=config,
            got=f"containerd would also change {', '.join(others[:5])}",
            remedy="Nothing was changed. Set config_path by hand and run again.",
        )


def _ineffective(config: str, text: str, before: Effective, effective_path: str, root: str) -> NodeError:
    culprit = newer = ""
    for path in imports_of(text, config, before):
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                settings = Document(file.read(), path)
            plugins = settings.get("plugins") or {}
            if {_OLD_CRI, _IMAGES, "cri"} & set(plugins):
                culprit = path
            if _file_version(settings) > 2 >= _file_version(Document(text, config)):
                newer = path
    if newer and (2,) <= before.version < (2, 3) and not effective_path:
        # Files are merged before they are migrated, and then all of it counts as of the newest version.
        return NodeError(
            "let containerd read certs.d",
            where=config,
            got=f"{newer} is of a newer version than this file, and containerd before 2.3 then drops every CRI setting"
            " of this one, config_path and the sandbox image among them",
            remedy=f"Bring both to one version: write into {config} what containerd --config {config} config migrate"
            f" prints while {newer} is away, or write {newer} for version 2. Restart containerd and run again.",
        )
    if not culprit:
        got = f"with config_path set to {root}, containerd still reads '{effective_path}'"
        remedy = "Nothing was changed. Look for another file that sets it."
    elif before.version[0] < 2:
        got = f"{culprit} holds a part of the CRI section, and before version 2 that part replaces the whole section"
        remedy = f"Move the CRI settings of {culprit} into {config}, restart containerd and run again."
    else:
        got = f"{culprit} is read later and sets the same"
        remedy = f'Set config_path = "{root}" in {culprit}, or remove it there, and run again.'
    return NodeError("let containerd read certs.d", where=config, got=got, remedy=remedy)


def as_text(version: t.Iterable[int]) -> str:
    """Return a version as people write it."""
    return ".".join(str(part) for part in version)
