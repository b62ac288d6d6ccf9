# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a bundle is made. Private: not for use outside homeport.registry."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that the modules for building bundles share."""

    DOCUMENTATION = r"""
options:
  cache:
    description:
      - Folder for what was downloaded, on the machine that runs the module. It is created when it does not exist.
      - Give locking and building the same one. Everything in it is compared with its digest before it is used, and it
        may be deleted at any time.
    type: path
    default: ~/.cache/homeport-bundle
  python:
    description:
      - Python interpreter whose pip downloads wheels. By default the one that runs the module.
    type: path
  ansible_galaxy:
    description:
      - The program that downloads collections. By default it is looked for beside the interpreter that runs the module,
        then in E(PATH).
    type: path
"""

    SOURCES = r"""
options:
  sources:
    description:
      - How to reach the registries that images come from. One that is not listed is reached by its name, encrypted and
        without an account.
      - Proxies are used as the variables E(HTTPS_PROXY), E(HTTP_PROXY) and E(NO_PROXY) of the environment say, though
        never to this machine; the last may list networks as well.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Host, with the port if there is one, as the names of images begin, such as V(docker.io).
        type: str
        required: true
      url:
        description:
          - Address to use instead, of a mirror, a cache or the registry itself, such as V(http://127.0.0.1:5000).
          - The names of images in the bundle stay as they are.
        type: str
      prefix:
        description:
          - What stands in front of the repositories there, as in V(dockerhub) for C(dockerhub/library/nginx).
        type: str
      username:
        description: User that may pull.
        type: str
      password:
        description: Password or token of O(sources[].username).
        type: str
      validate_certs:
        description: Whether the server has to prove its name with a certificate.
        type: bool
        default: true
      ca_cert:
        description: File of CA certificates in PEM form. They alone are trusted then, instead of the system's.
        type: path
      ca_cert_content:
        description: The same as text.
        type: str
  threads:
    description: Connections to use at once.
    type: int
    default: 4
  timeout:
    description: Seconds to wait for each answer, and for each piece of one.
    type: float
    default: 30
  patience:
    description:
      - Seconds that a request may wait altogether where a registry asks to come back later, as with rate limits.
    type: float
    default: 300
"""
