# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that are built here, each with the key of everything that went into it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lab import debian, golang, layout, scratch, wheels
from lab.content import files_under, key_of, key_of_files
from lab.engine import Engine
from lab.versions import Family, Wheel

SOURCES = layout.PACKAGE / "images"
KEY_LABEL = "homeport.lab.key"


@dataclass(frozen=True)
class Image:
    """An image: the directory of its Dockerfile, the programs copied in, and build arguments."""

    name: str
    directory: str
    programs: tuple[tuple[Family | Wheel, str], ...] = ()
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "."

    def key(self) -> str:
        """Return the content key of the image, the base's included."""
        source = SOURCES / self.directory
        built = [f"{name}={_key(origin)}" for origin, name in self.programs]
        given = [f"{name}={value}" for name, value in sorted(self.arguments.items())]
        return key_of(key_of_files(files_under(source), source), debian.key(), self.folder, *built, *given)


def _key(origin: Family | Wheel) -> str:
    return wheels.key(origin) if isinstance(origin, Wheel) else golang.family_key(origin)


def _program(origin: Family | Wheel, name: str) -> Path:
    return wheels.program(origin) if isinstance(origin, Wheel) else golang.program(origin, name)


def is_current(engine: Engine, image: Image) -> bool:
    """Tell whether the engine has ``image`` as it would be built now."""
    return engine.label(image.name, KEY_LABEL) == image.key()


def build(engine: Engine, image: Image) -> str:
    """Build ``image`` unless the engine has it; say which it was."""
    if is_current(engine, image):
        return "cached"
    with scratch.directory() as directory:
        context = directory / "context"
        shutil.copytree(SOURCES / image.directory, context)
        (context / image.folder).mkdir(exist_ok=True)
        for origin, name in image.programs:
            # Same file system, so a link costs nothing where a copy costs 100 MB.
            os.link(_program(origin, name), context / image.folder / name)
        # Named without a value, the builder takes a proxy from the environment and keeps it out of the image.
        proxies = [name for name in ("http_proxy", "https_proxy", "no_proxy") if name in os.environ]
        given = [*proxies, *(f"{name}={value}" for name, value in image.arguments.items())]
        arguments = [word for argument in given for word in ("--build-arg", argument)]
        engine.run(
            *("build", "--network", "host", "--force-rm", "--tag", image.name),
            *("--label", f"{KEY_LABEL}={image.key()}", *arguments, str(context)),
            log=f"image-{image.name.replace('/', '_').replace(':', '_')}",
        )
    return "built"


def build_all(engine: Engine, wanted: list[Image]) -> str:
    """Build all of ``wanted``; say how many had to be."""
    made = sum(build(engine, image) == "built" for image in wanted)
    return f"{made} of {len(wanted)} built" if made else "cached"
