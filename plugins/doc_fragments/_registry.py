# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The connection to a registry. Private: not for use outside homeport.registry."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of every module that talks to a registry."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the registry, such as V(https://registry.example.com) or V(http://127.0.0.1:5000), without C(/v2/).
      - Proxies from the environment are not used.
    type: str
    required: true
  validate_certs:
    description:
      - Whether the server has to prove its name with a certificate.
    type: bool
    default: true
  ca_cert:
    description:
      - File of CA certificates in PEM form, on the machine that runs the module.
      - They alone are trusted then, instead of the system's.
    type: path
  ca_cert_content:
    description:
      - The same as text.
    type: str
  timeout:
    description:
      - Seconds to wait for each answer, and for another attempt where the registry asks to come back later.
    type: float
    default: 10
"""

    READING = r"""
options:
  username:
    description:
      - User that may pull. Without one the client has no password.
    type: str
  password:
    description:
      - Password of O(username).
    type: str
  repositories:
    description:
      - Names of repositories, or patterns with the wildcards V(*), V(?) and V([...]), where V(*) also matches slashes.
      - Only patterns need the right to list the repositories.
    type: list
    elements: str
    default: ['*']
  threads:
    description:
      - Connections to use at once. More than a registry has processors make nothing faster, unless it is far away.
    type: int
    default: 8
"""
