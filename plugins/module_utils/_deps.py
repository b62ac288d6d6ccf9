# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Python libraries that some plugins need, each with its floor. Private."""

from __future__ import annotations

import importlib
import re
import sys
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._errors import MissingLibraryError

LIBPASS_FLOOR = (1, 9)
BCRYPT_FLOOR = (4, 0, 1)
CRYPTOGRAPHY_FLOOR = (42,)
_WANTED = "libpass>=1.9 and bcrypt>=4.0.1"


class BcryptHandler(t.Protocol):
    """The part of passlib's bcrypt handler that is used here."""

    def using(self, *, rounds: int, ident: str, truncate_error: bool) -> BcryptHandler:
        """Return a handler with these settings."""

    def hash(self, secret: str) -> str:
        """Hash a password with a new salt."""

    def verify(self, secret: str, hashed: str, /) -> bool:
        """Tell whether the password belongs to the hash."""

    def set_backend(self, name: str) -> None:
        """Load the library that computes the hashes."""


def parse_version(text: str) -> tuple[int, ...]:
    """Return the leading numeric release of a version, `1.9.4.post1` as `(1, 9, 4)`."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def load_bcrypt() -> BcryptHandler:
    """Return passlib's bcrypt handler with its backend loaded.

    Raises:
        MissingLibraryError: libpass or bcrypt is absent or too old, or the unmaintained passlib is installed.
    """
    version = _version_of("passlib")
    if parse_version(version) < (1, 8):
        raise MissingLibraryError(
            "hash passwords",
            where=sys.executable,
            got=f"passlib {version} is installed, which is unmaintained and fails with bcrypt 5",
            remedy="Uninstall passlib and install its maintained fork libpass>=1.9. "
            "The two own the same import name, so never install both.",
        )
    if parse_version(version) < LIBPASS_FLOOR:
        raise _missing(f"libpass {version} is too old")
    version = _version_of("bcrypt")
    if parse_version(version) < BCRYPT_FLOOR:
        raise _missing(f"bcrypt {version} is too old")
    handler: BcryptHandler = importlib.import_module("passlib.hash").bcrypt
    handler.set_backend("bcrypt")
    return handler


def require_cryptography(task: str = "read certificates") -> None:
    """Make sure that the library for certificates, keys and signatures is there.

    Args:
        task: what it is needed for, as an infinitive without "to".

    Raises:
        MissingLibraryError: cryptography is absent or too old.
    """
    wanted = "cryptography>=42.0"
    version = _version_of("cryptography", task, wanted)
    if parse_version(version) < CRYPTOGRAPHY_FLOOR:
        raise _missing(f"cryptography {version} is too old", task, wanted)


def _version_of(name: str, task: str = "hash passwords", wanted: str = _WANTED) -> str:
    try:
        return str(getattr(importlib.import_module(name), "__version__", "0"))
    except ImportError as exc:
        raise _missing(f"{name} cannot be imported: {exc}", task, wanted) from exc


def _missing(got: str, task: str = "hash passwords", wanted: str = _WANTED) -> MissingLibraryError:
    return MissingLibraryError(
        task, where=sys.executable, got=got, remedy=f"Install {wanted} for this Python interpreter."
    )
