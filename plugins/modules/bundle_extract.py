#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Take some images and the files out of a bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_extract
short_description: Take some images and the files out of a bundle
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Writes images of a bundle as a small OCI image layout that container runtimes import, such as those that have to
    run before there is a registry, and the wheels, collections and other files of the bundle into a folder.
  - Checks the signature, and compares everything that it writes with its digest. Nothing is written but what is asked
    for, and nothing appears before it is complete.
  - Without O(images_to) and O(files_to) it tells what there is.
options:
  images_to:
    description: File to write the images to, as a tar.
    type: path
  images:
    description: Names of the images as the bundle has them. By default those that it marks for the beginning.
    type: list
    elements: str
    default: []
  registry:
    description:
      - The registry that holds the images of the bundle that a delta builds on. What a delta leaves out of O(images) is
        read there, and compared with its digest like everything else.
    type: dict
    suboptions:
      url:
        description: Its address, such as V(https://registry.example.com), without C(/v2/).
        type: str
        required: true
      username:
        description: User that may pull. Without one the client has no password.
        type: str
      password:
        description: Password of O(registry.username).
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
      timeout:
        description: Seconds to wait for each answer, and for another attempt where it asks to come back later.
        type: float
        default: 10
  files_to:
    description: Folder to write the files to, under their paths in the bundle without C(files/).
    type: path
  kinds:
    description: Which files.
    type: list
    elements: str
    choices: [collection, wheel, file]
    default: [collection, wheel, file]
extends_documentation_fragment:
  - homeport.registry._bundle
  - homeport.registry._attributes
  - homeport.registry._attributes.files
attributes:
  check_mode:
    support: partial
    details:
      - The images are not read, so a file in O(images_to) that is there counts as what it should be.
  diff_mode:
    support: none
  idempotent:
    support: full
  safe_file_operations:
    support: full
seealso:
  - module: homeport.registry.bundle_verify
  - module: homeport.registry.node_images
"""

EXAMPLES = r"""
- name: Write what has to run before there is a registry
  homeport.registry.bundle_extract:
    bundle: [/media/transfer]
    trusted_keys: "{{ release_keys }}"
    images_to: /var/tmp/bootstrap.tar

- name: Write the same out of a delta, for a node that is new
  homeport.registry.bundle_extract:
    bundle: [/media/transfer]
    trusted_keys: "{{ release_keys }}"
    images_to: /var/tmp/bootstrap.tar
    registry:
      url: https://registry.example.com

- name: Unpack wheels and collections
  homeport.registry.bundle_extract:
    bundle: [/media/transfer]
    trusted_keys: "{{ release_keys }}"
    files_to: /srv/offline
    kinds: [wheel, collection]
"""

RETURN = r"""
images:
  description: The images that were chosen, with C(name), C(digest) and C(platforms).
  returned: success
  type: list
  elements: dict
  sample:
    - name: docker.io/library/registry:3.1.1
      digest: sha256:1be55279f18a2fe1a74edf2664cac61c1bea305b7b4642dab412e7affdcb3e33
      platforms: [linux/amd64]
all_images:
  description: All images of the bundle, in the same form.
  returned: success
  type: list
  elements: dict
files:
  description:
    - The files of the chosen kinds, with C(path), C(kind) and, for collections and wheels, C(name) and C(version).
  returned: success
  type: list
  elements: dict
  sample:
    - path: /srv/offline/collections/kubernetes-core-6.2.0.tar.gz
      kind: collection
      name: kubernetes.core
      version: 6.2.0
name:
  description: Name of the bundle.
  returned: success
  type: str
  sample: platform
version:
  description: Version of the bundle.
  returned: success
  type: str
  sample: "2"
sha256:
  description: Sum of the signed document, which names the bundle for all time.
  returned: success
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_extract as extract
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_options import bundle_spec, open_from
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    ACCOUNT_TOGETHER,
    CONNECTION_EXCLUSIVE,
    connection_spec,
    reading_session,
)

SPEC: dict[str, dict[str, t.Any]] = {
    **bundle_spec(),
    "images_to": {"type": "path"},
    "images": {"type": "list", "elements": "str", "default": []},
    "registry": {
        "type": "dict",
        "options": {
            **connection_spec(),
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
        },
        "mutually_exclusive": CONNECTION_EXCLUSIVE,
        "required_together": ACCOUNT_TOGETHER,
    },
    "files_to": {"type": "path"},
    "kinds": {"type": "list", "elements": "str", "choices": list(fmt.KINDS), "default": list(fmt.KINDS)},
}


def taken(params: t.Mapping[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """Return the module's result.

    Raises:
        RegistryError: when something cannot be read, is damaged, or cannot be written.
    """
    with open_from(params) as opened:
        bundle, changed = opened.bundle, False
        images = extract.choose(opened, params["images"])
        if params["images_to"]:
            session = reading_session(params["registry"]) if params["registry"] else None
            changed = extract.write_images(opened, images, params["images_to"], check=check, session=session)
        files = []
        for file in (one for one in bundle.files if one.kind in params["kinds"]):
            relative = file.path.partition("/")[2]
            path = os.path.join(params["files_to"], relative) if params["files_to"] else relative
            if params["files_to"] and extract.write_file(opened, file, path, check=check):
                changed = True
            files.append({"path": path, "kind": file.kind, "name": file.name, "version": file.version})
        return {
            "changed": changed,
            "images": [_shown(image) for image in images],
            "all_images": [_shown(image) for image in bundle.images],
            "files": files,
            "name": bundle.name,
            "version": bundle.version,
            "sha256": opened.sha256,
        }


def _shown(image: fmt.Image) -> dict[str, t.Any]:
    return {"name": image.name, "digest": image.digest, "platforms": list(image.platforms)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        result = taken(module.params, check=module.check_mode)
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
