# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the contract tests read: the installed collection and the checkout."""

from __future__ import annotations

import functools
import importlib
import json
import re
import subprocess
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler

from tools.paths import ROOT, project_files

NAME = "homeport.registry"
Task = dict[str, t.Any]

# A value under such a name gives access. Plurals and longer names (password_length, pull_secrets) do not.
SECRET_NAME = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|api_key|private_key|client_key|htpasswd)$")

KEYWORDS = {*Handler.fattributes, *Block.fattributes, "block", "rescue", "always", "local_action"}


class Loader(yaml.SafeLoader):
    """YAML as Ansible reads it, its own tags included."""


def _as_node_value(loader: Loader, _suffix: str, node: yaml.Node) -> t.Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    return loader.construct_object(node, deep=True)


Loader.add_multi_constructor("!", _as_node_value)


def load(text: str) -> t.Any:
    """Return the one document of a YAML text."""
    return yaml.load(text, Loader)


def installed() -> Path:
    """Return the folder of the collection that Python imports."""
    return Path(next(iter(importlib.import_module("ansible_collections.homeport.registry").__path__)))


def roles() -> list[Path]:
    """Return the folders of the roles."""
    return sorted(path for path in (installed() / "roles").iterdir() if path.is_dir())


def spec_options(role: Path) -> dict[str, dict[str, t.Any]]:
    """Return the options of a role's main entry point."""
    spec = load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, dict[str, t.Any]] = spec["argument_specs"]["main"].get("options", {})
    return options


@functools.cache
def documentation() -> dict[str, dict[str, dict[str, t.Any]]]:
    """Return what ansible-doc says of every plugin and role of the collection, by kind and full name."""
    done = subprocess.run(["ansible-doc", "--metadata-dump", NAME], capture_output=True, text=True, check=True)
    dump: dict[str, dict[str, dict[str, t.Any]]] = json.loads(done.stdout)["all"]
    return {kind: {name: body for name, body in found.items() if "." in name} for kind, found in dump.items()}


@functools.cache
def module_options(name: str) -> dict[str, dict[str, t.Any]]:
    """Return the documented options of any module, by name and alias. Raises KeyError for an unknown module."""
    if name in documentation()["module"]:
        options = documentation()["module"][name]["doc"]["options"]
    else:
        done = subprocess.run(["ansible-doc", "-t", "module", "-j", name], capture_output=True, text=True, check=True)
        options = json.loads(done.stdout)[name]["doc"]["options"]
    return _with_aliases(options)


def _with_aliases(options: Mapping[str, dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    return {alias: option for name, option in options.items() for alias in [name, *option.get("aliases", [])]}


def wrong_arguments(options: Mapping[str, t.Any], given: t.Any, where: str = "") -> list[str]:
    """Return which keys of the given arguments the options do not have, which are missing, and which choices are wrong.

    Templated values are not looked into.
    """
    if not isinstance(given, dict):
        return []
    known = _with_aliases(options)
    faults = [f"{where}{key} is no option" for key in given if key not in known]
    for name, option in options.items():
        # The options may already be there under their aliases.
        names = {other for other, body in known.items() if body is option}
        if option.get("required") and not names & set(given):
            faults.append(f"{where}{name} is required")
    for key, value in given.items():
        option = known.get(key, {})
        choices = option.get("choices")
        if choices and isinstance(value, str) and "{{" not in value and value not in map(str, choices):
            faults.append(f"{where}{key} is {value}, not one of {', '.join(map(str, choices))}")
        inner = option.get("suboptions")
        if inner:
            for item in value if isinstance(value, list) else [value]:
                faults += wrong_arguments(inner, item, f"{where}{key}.")
    return faults


def module_of(task: Task) -> str | None:
    """Return the name of the module that a task runs, none for a block."""
    names = [key for key in task if key not in KEYWORDS and not key.startswith("with_")]
    assert len(names) <= 1, f"more than one module in {task}"
    return names[0] if names else None


def tasks_in(items: t.Any) -> Iterator[Task]:
    """Yield every task of a list of tasks or plays, blocks and sections opened."""
    for item in items or []:
        inner = [item.get(key) for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")]
        if "hosts" not in item and "block" not in item:
            yield item
        for section in inner:
            yield from tasks_in(section)


def task_files() -> list[str]:
    """Return the YAML files of the checkout that hold tasks or plays."""
    # Playbooks of other kinds (molecule, benches) are lists whose items name hosts; role tasks sit in known folders.
    found = []
    for name in project_files():
        if not name.endswith((".yml", ".yaml")) or name.startswith(("lab/", "changelogs/")):
            continue
        text = (ROOT / name).read_text(encoding="utf-8")
        in_role = re.match(r"roles/[^/]+/(tasks|handlers)/", name)
        if in_role or re.search(r"^- .*\n?(  .*\n)*?  hosts:|^- hosts:", text, re.MULTILINE):
            found.append(name)
    return found


def yaml_blocks(text: str) -> Iterator[tuple[str, t.Any]]:
    """Yield every YAML block of a Markdown document: its first line and its value."""
    for match in re.finditer(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield match[1].splitlines()[0], load(match[1])
