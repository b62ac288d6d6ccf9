# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let ansible-test bootstrap its virtual environments from a package index alone.

ansible-test fetches a pip installer from a download host unless a file of that name lies in its
cache. The stand-in written here does the same work with Python's own ensurepip.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

STAND_IN = '''\
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for ansible-test's pip installer: ensurepip, then pip with the arguments given."""
import os
import subprocess
import sys

unknown_to_pip = {"--no-setuptools", "--no-wheel"}
arguments = [argument for argument in sys.argv[1:] if argument not in unknown_to_pip]
# In a process of its own: ensurepip blanks pip's configuration for the process it runs in.
environment = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
subprocess.run([sys.executable, "-m", "ensurepip"], check=True, env=environment, stdout=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True, env=environment)
'''


def wanted_name() -> str:
    """Return the file name that the installed ansible-test looks for.

    Raises RuntimeError when ansible-test is not installed or no longer names its pip version.
    """
    spec = find_spec("ansible_test._internal")
    if spec is None or spec.origin is None:
        raise RuntimeError("ansible-test is not installed in this Python")
    source = Path(spec.origin).parent / "python_requirements.py"
    found = re.search(r"""\bpip=["']([\d.]+)["']""", source.read_text(encoding="utf-8"))
    if not found:
        raise RuntimeError(f"{source} names no pip version")
    return f"get_pip_{found.group(1).replace('.', '_')}.py"


def ensure(home: Path | None = None) -> Path:
    """Write the stand-in where ansible-test looks, unless a file is there already; return its path."""
    path = (home or Path.home()) / ".ansible" / "test" / "cache" / wanted_name()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAND_IN, encoding="utf-8")
    return path


if __name__ == "__main__":
    ensure()
