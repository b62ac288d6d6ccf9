# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The wish: what a bundle shall hold, as people write it. Private."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
from collections.abc import Callable

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import FormatError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_format import (
    FILES,
    NAME,
    VERSION,
    check_file_path,
)
from ansible_collections.homeport.registry.plugins.module_utils._bundle_platforms import ALL, parse_platform
from ansible_collections.homeport.registry.plugins.module_utils._bundle_read import Reader
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import ImageName, parse_image

# What the roles of this collection run by default; a contract test compares them.
OWN_IMAGES = (
    "docker.io/library/nginx:1.28-alpine@sha256:a8b39bd9cf0f83869a2162827a0caf6137ddf759d50a171451b335cecc87d236",
    "docker.io/library/python:3.13-slim@sha256:6771159cd4fa5d9bba1258caf0b82e6b73458c694d178ad97c5e925c2d0e1a91",
    "docker.io/library/registry:3.1.1@sha256:1be55279f18a2fe1a74edf2664cac61c1bea305b7b4642dab412e7affdcb3e33",
)
_REMEDY = "Correct the wish; the documentation of homeport.registry.bundle_lock lists its keys."
_COLLECTION = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*(?::[0-9A-Za-z.*<>=!,+-]+)?")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._,-]+\])?(?:[<>=!~]=?[^\s;@]+)?")
_PYTHON = re.compile(r"3\.[0-9]{1,2}")
_WHEEL_PLATFORM = re.compile(r"[a-z0-9_]+")


@dataclasses.dataclass(frozen=True)
class WishedImage:
    """An image that is asked for; `platforms` may be `all`."""

    name: ImageName
    platforms: tuple[str, ...]
    bootstrap: bool
    referrers: bool


@dataclasses.dataclass(frozen=True)
class WishedPython:
    """Python packages that are asked for, for each version of Python and the platforms of wheels."""

    packages: tuple[str, ...]
    constraints: str
    versions: tuple[str, ...]
    platforms: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class WishedFile:
    """A file or folder of the building machine, and its path in the bundle."""

    source: str
    path: str


@dataclasses.dataclass(frozen=True)
class Wish:
    """All that is asked for. `collections` are names with an optional version, `tarballs` paths."""

    name: str
    version: str
    images: tuple[WishedImage, ...]
    collections: tuple[str, ...]
    tarballs: tuple[str, ...]
    python: WishedPython | None
    files: tuple[WishedFile, ...]


def parse_wish(source: t.Any, where: str, folder: str) -> Wish:
    """Return what a document asks for.

    Args:
        source: the parsed document.
        where: it comes from, for errors.
        folder: that relative paths in it begin at.

    Raises:
        FormatError: when it is not what it should be; the error names the key.
    """
    read = Reader(source, where, remedy=_REMEDY)
    platforms = _platforms(read) or ("linux/amd64",)
    referrers = read.boolean("referrers") if read.has("referrers") else True
    images = [_image(one, platforms, referrers) for one in _mappings(read, "images", "name", where)]
    if read.has("own_images") and read.boolean("own_images"):
        own = {image.full: image for image in map(parse_image, OWN_IMAGES)}
        images = [dataclasses.replace(one, bootstrap=one.bootstrap or one.name.full in own) for one in images]
        for one in images:
            own.pop(one.name.full, None)
        images += [WishedImage(name, platforms, True, referrers) for name in own.values()]
    names = [image.name.full for image in images]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        raise read.wrong("images", f"{twice} is there twice")
    collections = read.texts("collections") if read.has("collections") else ()
    tarballs = tuple(_absolute(folder, one) for one in collections if one.endswith(".tar.gz"))
    wanted = tuple(one for one in collections if not one.endswith(".tar.gz"))
    for number, text in enumerate(wanted):
        if not _COLLECTION.fullmatch(text):
            raise read.wrong(
                f"collections[{number}]", f"{ascii(text)[:80]} is no namespace.name:version and no .tar.gz"
            )
    python = read.optional("python") if read.has("python") else None
    wish = Wish(
        name=read.matching("name", NAME),
        version=read.matching("version", VERSION),
        images=tuple(sorted(images, key=lambda image: image.name.full)),
        collections=wanted,
        tarballs=tarballs,
        python=_python(python, folder) if python else None,
        files=tuple(_file(one, folder) for one in _mappings(read, "files", "src", where)),
    )
    read.end(("platforms", "referrers", "images", "own_images", "collections", "python", "files"))
    if not (wish.images or collections or wish.python or wish.files):
        raise read.wrong("", "it asks for nothing")
    return wish


def _mappings(read: Reader, key: str, first: str, where: str) -> list[Reader]:
    """Return the entries of a list as objects; a text stands for an object with one key."""
    if not read.has(key):
        return []
    found = []
    for number, value in enumerate(read.values(key)):
        source = {first: value} if isinstance(value, str) else value
        found.append(Reader(source, where, f"{key}[{number}]", _REMEDY))
    return found


def _image(one: Reader, platforms: tuple[str, ...], referrers: bool) -> WishedImage:
    text = one.text("name")
    try:
        name = parse_image(text)
    except RegistryError as exc:
        raise one.wrong("name", f"{ascii(text)[:120]}: {exc.got}") from exc
    return one.done(
        WishedImage(
            name,
            _platforms(one) or platforms,
            one.boolean("bootstrap") if one.has("bootstrap") else False,
            one.boolean("referrers") if one.has("referrers") else referrers,
        )
    )


def _platforms(one: Reader) -> tuple[str, ...]:
    if not one.has("platforms"):
        return ()
    texts = one.texts("platforms")
    if ALL in texts:
        return (ALL,)
    return tuple(sorted({_each(one, "platforms", text, parse_platform) for text in texts}))


def _each(one: Reader, key: str, text: str, parse: Callable[[str], str]) -> str:
    try:
        return parse(text)
    except ValueError as exc:
        raise one.wrong(key, str(exc)) from exc


def _python(one: Reader, folder: str) -> WishedPython:
    made = WishedPython(
        one.texts("packages"),
        _absolute(folder, one.text("constraints")) if one.has("constraints") else "",
        _all_match(one, "versions", _PYTHON, "a version such as 3.12"),
        _all_match(one, "platforms", _WHEEL_PLATFORM, "a platform of wheels such as manylinux_2_28_x86_64"),
    )
    for package in made.packages:
        if not _PACKAGE.fullmatch(package):
            raise one.wrong("packages", f"{ascii(package)[:80]} is no requirement such as jmespath==1.0.1")
    for key, values in (("packages", made.packages), ("versions", made.versions), ("platforms", made.platforms)):
        if not values:
            raise one.wrong(key, "it is empty")
    return one.done(made)


def _all_match(one: Reader, key: str, pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
    for value in one.texts(key):
        if not pattern.fullmatch(value):
            raise one.wrong(key, f"{ascii(value)[:60]} is not {what}")
    return one.texts(key)


def _file(one: Reader, folder: str) -> WishedFile:
    source = one.text("src")
    name = one.text("dest") if one.has("dest") else os.path.basename(source.rstrip("/"))
    try:
        path = check_file_path(f"{FILES}/{name}", source)
    except FormatError as exc:
        raise one.wrong("dest" if one.has("dest") else "src", exc.got) from exc
    one.end(("src", "dest"))
    return WishedFile(_absolute(folder, source), path)


def _absolute(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
