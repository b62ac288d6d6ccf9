# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others publish about their own formats, in the sources of their Go modules."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path

from lab import golang


@functools.cache
def published(module: str) -> Path:
    """Return the folder of a Go module, named with its version; Go keeps it once it has it."""
    environment = {**os.environ, **golang.build_environment()}
    command = [str(golang.toolchain()), "mod", "download", "-json", module]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["Dir"])
