# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wheels and collections of a bundle become a virtual environment where there is neither an index nor Galaxy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from .shelves import collection, wheel

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def bundle(lock, build, index, workplace, dest):
    """A bundle with two wheels and two collections, one of each needing the other."""
    wheel(index, "lower", "2", "py3-none-any", content="NUMBER = 7")
    wheel(index, "upper", "1.0", "py3-none-any", "lower", content="from lower import NUMBER")
    collection(workplace / "given", "demo.base", "1.0.0")
    collection(workplace / "given", "demo.shop", "2.1.0", demo__base=">=1.0.0")
    locked = lock(
        python={"packages": ["upper"], "versions": [VERSION], "platforms": ["any"]},
        collections=["given/demo-shop-2.1.0.tar.gz", "given/demo-base-1.0.0.tar.gz"],
    )
    assert not locked.get("failed"), locked
    built = build()
    assert not built.get("failed"), built
    return dest


@pytest.fixture
def play(bundle, key, tmp_path):
    """Return a function that runs the tasks and returns the numbers of the recap and what was said."""
    variables = {
        "registry_airgap_bundle": [str(bundle)],
        "registry_airgap_trusted_keys": [key.with_suffix(".pub").read_text()],
        "registry_airgap_virtualenv": str(tmp_path / "tools"),
        "ansible_python_interpreter": sys.executable,
    }
    about = {name: f"{{{{ registry_airgap_{name} }}}}" for name in ("bundle", "trusted_keys")}
    tasks = [{"homeport.registry.bundle_extract": about, "register": "__registry_airgap_content"}]
    for part in ("tools.yml", "switch.yml"):
        role = {"name": "homeport.registry.registry_airgap", "tasks_from": part}
        tasks.append({"name": "Install the tools", "ansible.builtin.include_role": role})
    document = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([document]))
    nowhere = "http://127.0.0.1:1/"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | {
        "PIP_INDEX_URL": nowhere,
        "ANSIBLE_GALAXY_SERVER": nowhere,
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }

    def play() -> tuple[dict[str, int], str]:
        program = os.path.join(os.path.dirname(sys.executable), "ansible-playbook")
        path = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"
        done = subprocess.run(
            [program, str(tmp_path / "play.yml")], capture_output=True, text=True, env={**environment, "PATH": path}
        )
        recap = done.stdout.rpartition("PLAY RECAP")[2].partition(" : ")[2].split()
        numbers = {name: int(number) for name, _equals, number in (part.partition("=") for part in recap)}
        return numbers, done.stdout + done.stderr

    return play


def test_wheels_and_collections_are_installed_without_index_and_galaxy(play, tmp_path):
    numbers, said = play()
    assert numbers.get("failed") == 0, said
    assert numbers["changed"] >= 3, said
    python = tmp_path / "tools/bin/python"
    shown = subprocess.run([python, "-c", "import upper; print(upper.NUMBER)"], capture_output=True, text=True)
    assert (shown.returncode, shown.stdout) == (0, "7\n"), shown.stderr
    for name, version in (("base", "1.0.0"), ("shop", "2.1.0")):
        manifest = tmp_path / f"tools/ansible_collections/demo/{name}/MANIFEST.json"
        assert json.loads(manifest.read_text())["collection_info"]["version"] == version
    # Each bundle has an environment of its own, so the one that is used now stays whole until there is the next.
    home = (tmp_path / "tools").readlink()
    assert (home.parent, home.name[:6], len(home.name)) == (tmp_path, "tools-", 18)
    script = (home / "bin" / "pip").read_text().splitlines()[0]
    assert script.startswith(f"#!{home}/bin/"), script
    numbers, said = play()
    assert (numbers["failed"], numbers["changed"]) == (0, 0), said
