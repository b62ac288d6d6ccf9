# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new installation over the volume of a removed one: the old images with new passwords."""

from __future__ import annotations

from tests.verify import keepsake
from tests.verify.clients import WORK, Client
from tests.verify.registry import Account


def test_images_are_found_again(client: Client, reader: Account) -> None:
    """Every digest of the image that was pushed before the removal is served."""
    folder = f"{WORK}/returned"
    pulled = client.pull(f"{keepsake.REPOSITORY}:1", f"oci:{folder}:1", reader)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(folder) == keepsake.LAYOUT.digests


def test_old_passwords_are_dead(client: Client, reader: Account) -> None:
    """A removal ends the generated passwords: an installation makes new ones."""
    old = Account(reader.name, client.script('cat "$1"', keepsake.OLD_PASSWORD))
    assert len(old.password) >= 32
    assert client.http("/v2/", account=old).status == 401
    assert client.http("/v2/", account=reader).status == 200
