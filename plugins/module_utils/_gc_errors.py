# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a collection ends when it does not simply succeed. Private."""

from __future__ import annotations

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


class GcError(RegistryError):
    """Something stopped the collection."""

    outcome = "failed"


class RefusedError(GcError):
    """The collection must not go on: a limit, a damaged store, somebody else at work."""

    outcome = "refused"


class NothingToDoError(GcError):
    """There is nothing to collect, and that is fine."""

    outcome = "nothing_to_do"


class FenceLostError(GcError):
    """The Lease is no longer ours, so nothing more may be deleted."""


class InterruptedByError(GcError):
    """Somebody asked the process to end; the Job starts it again."""
