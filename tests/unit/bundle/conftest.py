# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scripted server, for what a real registry does only when something breaks."""

from tests.unit.registry_client.conftest import pauses, server, transport

__all__ = ["pauses", "server", "transport"]
