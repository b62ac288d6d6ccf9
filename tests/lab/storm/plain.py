# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One plain Distribution that takes pushes and is collected beside them, as most instructions say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.lab.modules.distribution import Distribution


class PlainRegistry(Distribution):
    """One server that reads and writes, with or without the descriptor cache that its image's configuration has."""

    def __init__(self, binary: str, folder: Path, *, cached: bool = False) -> None:
        """Write its configuration."""
        self.store = folder.with_name(f"{folder.name}-store")
        super().__init__(binary, folder, store=self.store)
        self._binary, self._config = binary, folder / "config.yml"
        if cached:
            config = yaml.safe_load(self._config.read_text())
            config["storage"]["cache"] = {"blobdescriptor": "inmemory"}
            self._config.write_text(yaml.safe_dump(config))

    def collect(self, *options: str) -> str:
        """Collect garbage from a second process on the same store, as a CronJob does, and return what it said."""
        done = subprocess.run(
            [self._binary, "garbage-collect", *options, str(self._config)],
            capture_output=True,
            text=True,
            env={"OTEL_TRACES_EXPORTER": "none"},
            check=False,
        )
        return done.stdout + done.stderr

    def data(self, digest: str) -> Path:
        """Return the file of a blob."""
        value = digest.partition(":")[2]
        return self.store / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"
