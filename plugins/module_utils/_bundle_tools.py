# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options and small deeds that the modules for building bundles share. Private."""

from __future__ import annotations

import os
import sys
import tempfile
import typing as t

from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_files import Tools


def building_spec() -> dict[str, dict[str, t.Any]]:
    """Return the argument specification that the fragment `_bundle_building` documents."""
    return {
        "cache": {"type": "path", "default": "~/.cache/homeport-bundle"},
        "python": {"type": "path"},
        "ansible_galaxy": {"type": "path"},
    }


def tools_from(module: t.Any) -> Tools:
    """Return how a module fetches files; the folder goes away with the module."""
    python = module.params["python"] or sys.executable
    galaxy = module.params["ansible_galaxy"] or module.get_bin_path(
        "ansible-galaxy", opt_dirs=[os.path.dirname(sys.executable)]
    )

    def run(command: list[str]) -> tuple[int, str, str]:
        status, output, errors = module.run_command(command, handle_exceptions=False)
        return int(status), str(output), str(errors)

    def safe(command: list[str]) -> tuple[int, str, str]:
        try:
            return run(command)
        except OSError as exc:
            return 127, "", str(exc)

    scratch = tempfile.mkdtemp(dir=module.tmpdir)
    return Tools(safe, [python, "-m", "pip"], [galaxy or "ansible-galaxy"], scratch)


def read_if_there(path: str) -> bytes | None:
    """Return the bytes of a file, or nothing when there is none.

    Raises:
        BundleError: when it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise BundleError(
            "read the file", where=path, got=str(exc.strerror), remedy="Name a regular file that this user may read."
        ) from exc


def read_file(path: str) -> bytes:
    """Return the bytes of a file.

    Raises:
        BundleError: when there is none, or it cannot be read.
    """
    content = read_if_there(path)
    if content is None:
        raise BundleError("read the file", where=path, got="it does not exist", remedy="Check the path.")
    return content


def bytes_of(text: str | None) -> int | None:
    """Return the bytes that a size such as `25G` stands for.

    Raises:
        BundleError: when it is none.
    """
    if text is None:
        return None
    try:
        return int(human_to_bytes(text))
    except ValueError as exc:
        raise BundleError(
            "use volume_size", where=text, got="it is no size", remedy="Write bytes, or a number with K, M, G or T."
        ) from exc


def write_atomically(module: t.Any, path: str, content: bytes) -> None:
    """Put a file in place in one step.

    Raises:
        BundleError: when its folder does not exist.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise BundleError(
            "write the file", where=path, got="its folder does not exist", remedy=f"Create {folder} first."
        )
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    module.add_cleanup_file(temporary)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    module.atomic_move(temporary, path)
