# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of images, platforms and wheels are spelled out before anything is compared."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_files import machines, made_files, platform_tags
from ansible_collections.homeport.registry.plugins.module_utils._bundle_format import File
from ansible_collections.homeport.registry.plugins.module_utils._bundle_platforms import parse_platform, platform_of
from ansible_collections.homeport.registry.plugins.module_utils._bundle_wish import OWN_IMAGES, parse_wish
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import BadNameError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import parse_image
from tests.unit.contract.collection import installed, load

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("name", "full", "carried"),
    [
        ("nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "docker.io/library/nginx"),
        ("bitnami/nginx:1", "docker.io/bitnami/nginx:1", "docker.io/bitnami/nginx"),
        ("index.docker.io/nginx:1", "docker.io/library/nginx:1", "docker.io/library/nginx"),
        ("registry-1.docker.io/a/b:1", "docker.io/a/b:1", "docker.io/a/b"),
        ("GHCR.io/a/b/c:1", "ghcr.io/a/b/c:1", "ghcr.io/a/b/c"),
        ("localhost/app:1", "localhost/app:1", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost_5000/app"),
        ("app.example.com/x", "app.example.com/x:latest", "app.example.com/x"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", "docker.io/library/nginx"),
        (f"nginx:1@{DIGEST}", "docker.io/library/nginx:1", "docker.io/library/nginx"),
    ],
)
def test_names_of_images(name, full, carried):
    parsed = parse_image(name)
    assert (parsed.full, parsed.carried) == (full, carried)
    assert parse_image(parsed.full).full == full


@pytest.mark.parametrize(
    "name",
    ["", ":", "a:", "a b", "Nginx", "nginx@", "nginx@sha256:1", "a..com/x", "-a.com/x", "a.com:/x", "x:y:z", "/x"],
)
def test_no_names_of_images(name):
    with pytest.raises(BadNameError):
        parse_image(name)


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm/v7", "linux/arm"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms(text, usual):
    assert parse_platform(text) == usual
    system, machine, *variant = text.split("/")
    assert platform_of({"os": system, "architecture": machine, "variant": "".join(variant)}) == usual


@pytest.mark.parametrize("text", ["", "amd64", "linux/", "Linux/amd64", "linux/amd64/v8/x", "linux amd64"])
def test_no_platforms(text):
    with pytest.raises(ValueError, match="is no platform"):
        parse_platform(text)


@pytest.mark.parametrize("source", [None, {}, {"os": "unknown", "architecture": "unknown"}, {"os": "linux"}])
def test_no_platform_is_named(source):
    assert platform_of(source) is None


def test_a_platform_of_wheels_takes_in_the_older_ones():
    tags = platform_tags("manylinux_2_17_aarch64")
    assert tags[:3] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_16_aarch64"]
    assert tags[-1] == "manylinux1_aarch64"
    assert platform_tags("win_amd64") == ["win_amd64"]


def test_wheels_are_looked_for_once_for_each_machine():
    assert machines(["manylinux2014_x86_64", "musllinux_1_2_x86_64", "manylinux2014_aarch64", "win_amd64", "any"]) == [
        ["manylinux2014_x86_64"],
        ["musllinux_1_2_x86_64"],
        ["manylinux2014_aarch64"],
        ["win_amd64"],
        ["any"],
    ]
    assert machines(["manylinux2014_x86_64", "manylinux_2_5_x86_64"]) == [
        ["manylinux2014_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64"]
    ]


def test_what_pip_and_galaxy_read_follows_from_the_files():
    files = [
        File("files/wheels/a-1-b.whl", "2" * 64, 1, 1, "wheel", "a", "1", ("3.11", "3.12")),
        File("files/wheels/a-1-a.whl", "1" * 64, 1, 1, "wheel", "a", "1", ("3.12",)),
        File("files/collections/x-y-1.tar.gz", "3" * 64, 1, 1, "collection", "x.y", "1"),
    ]
    made = made_files(files)
    assert made["files/collections/requirements.yml"] == (
        b"---\ncollections:\n  - name: x-y-1.tar.gz\n    type: file\n"
    )
    assert made["files/wheels/requirements-3.11.txt"].decode() == f"a==1 \\\n    --hash=sha256:{'2' * 64}\n"
    assert made["files/wheels/requirements-3.12.txt"].decode().splitlines() == [
        "a==1 \\",
        f"    --hash=sha256:{'1' * 64} \\",
        f"    --hash=sha256:{'2' * 64}",
    ]


def test_our_own_images_are_those_of_the_roles():
    defaults = load((installed() / "roles/registry/defaults/main.yml").read_text(encoding="utf-8"))
    keys = ("registry_image", "registry_gate_image", "registry_engine_image")
    assert sorted(OWN_IMAGES) == sorted(defaults[key] for key in keys)


def test_our_own_images_are_added_for_the_beginning():
    wish = parse_wish({"name": "a", "version": "1", "own_images": True}, "here", "/")
    assert [image.bootstrap for image in wish.images] == [True] * 3
    assert [image.name.full for image in wish.images] == sorted(parse_image(name).full for name in OWN_IMAGES)
    # What is asked for by the same name stays as it is asked for.
    mine = parse_image(OWN_IMAGES[0]).full
    wish = parse_wish({"name": "a", "version": "1", "own_images": True, "images": [mine]}, "here", "/")
    assert [image.name.digest for image in wish.images if image.name.full == mine] == [""]
    assert [image.bootstrap for image in wish.images] == [True] * 3
