# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What can go wrong with a bundle. Private."""

from __future__ import annotations

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


class BundleError(RegistryError):
    """A bundle, or what it shall be made from, cannot be used as it is."""


class FormatError(BundleError):
    """A document is not what the format asks for."""


class SignatureError(BundleError):
    """A signature or a key cannot be used, or does not belong to the content."""


class ContentError(BundleError):
    """A content is missing or is not what its digest says."""


class SpaceError(BundleError):
    """There is not enough room on a disk, or in a volume."""
