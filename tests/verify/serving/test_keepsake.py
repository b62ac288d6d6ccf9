# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps after a removal look for."""

from __future__ import annotations

from tests.verify import keepsake
from tests.verify.clients import Client
from tests.verify.registry import Account


def test_keepsake_is_pushed(client: Client, writer: Account, reader: Account) -> None:
    """An index and the reader's password are put aside."""
    pushed = client.push(client.put(keepsake.LAYOUT), f"{keepsake.REPOSITORY}:1", writer)
    assert pushed.rc == 0, pushed.stderr
    path = f"/v2/{keepsake.REPOSITORY}/manifests/{keepsake.LAYOUT.digest}"
    accept = ("-H", f"Accept: {keepsake.LAYOUT.media_type}")
    assert client.http(path, *accept, account=reader).status == 200
    client.script('umask 077 && printf %s "$1" > "$2"', reader.password, keepsake.OLD_PASSWORD)
