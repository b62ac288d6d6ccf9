# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the command line turns into a message."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can act on: the text says what failed and what to do."""
