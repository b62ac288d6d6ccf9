# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Without a recent cryptography the message says what to install."""

from __future__ import annotations

import sys
import types

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._deps import require_cryptography
from ansible_collections.homeport.registry.plugins.module_utils._errors import MissingLibraryError


@pytest.mark.parametrize(
    ("version", "saying"), [(None, "cannot be imported"), ("41.0.7", "cryptography 41.0.7 is too old")]
)
def test_an_unusable_library_is_named(monkeypatch, version, saying):
    stand_in = types.ModuleType("cryptography")
    stand_in.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, "cryptography", stand_in if version else None)
    with pytest.raises(MissingLibraryError, match=saying) as caught:
        require_cryptography()
    assert "Install cryptography>=42.0 for this Python interpreter." in str(caught.value)


def test_the_library_is_there():
    require_cryptography()
