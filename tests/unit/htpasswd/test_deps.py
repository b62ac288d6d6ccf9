# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only libpass and a recent bcrypt are accepted, and the message says what to install."""

from __future__ import annotations

import sys
import types

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._deps import load_bcrypt, parse_version
from ansible_collections.homeport.registry.plugins.module_utils._errors import MissingLibraryError


@pytest.mark.parametrize(
    ("text", "version"), [("1.9.4", (1, 9, 4)), ("5.0.0.post1", (5, 0, 0)), ("1.10rc1", (1, 10)), ("unknown", ())]
)
def test_parse_version(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("passlib", "bcrypt", "saying"),
    [
        (None, "5.0.0", "cannot be imported"),
        ("1.7.4", "5.0.0", "passlib 1.7.4 is installed, which is unmaintained"),
        ("1.8.1", "5.0.0", "libpass 1.8.1 is too old"),
        ("1.9.4", None, "bcrypt cannot be imported"),
        ("1.9.4", "3.2.2", "bcrypt 3.2.2 is too old"),
    ],
)
def test_unusable_libraries_are_named(monkeypatch, passlib, bcrypt, saying):
    for name, version in (("passlib", passlib), ("bcrypt", bcrypt)):
        stand_in = types.ModuleType(name)
        stand_in.__dict__["__version__"] = version
        monkeypatch.setitem(sys.modules, name, stand_in if version else None)
    with pytest.raises(MissingLibraryError, match=saying) as caught:
        load_bcrypt()
    assert "libpass" in str(caught.value)
    assert sys.executable in str(caught.value)


def test_the_installed_libraries_hash_and_verify():
    handler = load_bcrypt()
    assert handler.verify("test", handler.using(rounds=4, ident="2y", truncate_error=True).hash("test"))
