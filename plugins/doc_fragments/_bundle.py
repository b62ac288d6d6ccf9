# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reading bundles. Private: not for use outside homeport.registry."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that reads a bundle on the receiving side."""

    DOCUMENTATION = r"""
options:
  bundle:
    description:
      - Files of the bundle, one for each volume, or the folder that holds them, on the machine that runs the module.
      - What a file is called does not matter; which volume it is shows in its signed content. Files are read in place
        and never unpacked.
    type: list
    elements: path
    required: true
  trusted_keys:
    description:
      - Public keys that may have signed the bundle, each as in a C(.pub) file of OpenSSH. The bundle is never asked
        whom to trust.
    type: list
    elements: str
    default: []
  allow_unsigned:
    description:
      - Whether to go on when no key is given in O(trusted_keys). Every byte is still compared with its digest, but
        anybody may have written the digests.
    type: bool
    default: false
requirements:
  - cryptography >= 42.0, unless O(allow_unsigned) is set
"""
