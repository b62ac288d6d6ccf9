# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What can go wrong on a node. Private."""

from __future__ import annotations

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


class NodeError(RegistryError):
    """A node cannot be brought to trust a registry; nothing was changed, or everything was put back."""


class DistrustError(NodeError):
    """The server was reached, and its certificate is not trusted."""


class UnresolvedError(NodeError):
    """The runtime does not know the registry's name."""
