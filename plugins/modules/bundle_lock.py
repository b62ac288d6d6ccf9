#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Resolve what a bundle shall hold to digests."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_lock
short_description: Resolve what a bundle for an air gap shall hold to digests
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Reads a wish, asks the registries, Galaxy and the package index what its names mean today, and writes a lock
    in which every image, manifest, layer, collection and wheel stands with its digest. The lock belongs into version
    control, where people review what has moved.
  - Of an image with several platforms only the wanted ones are locked; the digest of the image stays what it is.
  - Signatures, attestations and bills of materials of an image and of each of its platforms come along, whether the
    registry lists referrers, keeps them in a tag such as C(sha256-<hex>), or in the tags C(.sig), C(.att) and C(.sbom)
    of cosign.
options:
  wish:
    description:
      - File in YAML or JSON that says what the bundle shall hold. O(definition) tells what may stand in it.
      - Relative paths in it begin at its folder.
      - Exactly one of O(wish) and O(definition) is required.
    type: path
  definition:
    description:
      - The wish itself. Relative paths in it begin at the folder of O(lock).
      - C(name) is the name of the bundle and C(version) its version, both texts and required.
      - C(platforms) are the platforms of images, such as C(linux/arm64); C(linux/amd64) is the default, and C(all)
        keeps every one. An image that lacks one of them is an error, unless it has no platforms at all.
      - C(images) are names of images, or dictionaries with C(name) and, if need be, their own C(platforms) and
        C(referrers), and C(bootstrap) for what has to run before there is a registry. Names are spelled out as Docker
        does it. A name with both a tag and a digest is locked at the digest.
      - C(own_images) adds the images that the roles of this collection run, as C(bootstrap). False by default.
      - C(referrers) says whether signatures and the like come along. True by default.
      - C(collections) are names such as C(community.general:12.0.0), which bring their dependencies along, and paths
        that end in C(.tar.gz), whose dependencies must be listed too.
      - C(python) is a dictionary. C(packages) are requirements, C(versions) the versions of Python, such as C(3.12),
        and C(platforms) what wheels must run on, such as C(manylinux_2_28_x86_64), which takes in all older ones.
        A file of C(constraints) may be named. Markers in the metadata of packages are judged by the interpreter of pip,
        so name a package yourself that only another version of Python or another system needs.
      - C(files) are paths of files and folders, or dictionaries with C(src) and C(dest), a path in the bundle.
    type: dict
  lock:
    description:
      - The file to write. Its folder must exist. It is only written when something in it changes.
    type: path
    required: true
extends_documentation_fragment:
  - homeport.registry._bundle_building
  - homeport.registry._bundle_building.sources
  - homeport.registry._attributes
  - homeport.registry._attributes.files
requirements:
  - PyYAML, which ansible-core brings along
  - pip, for wheels
  - ansible-galaxy, for collections that are not given as files
attributes:
  check_mode:
    support: full
    details:
      - Resolves everything, so that it tells what has moved, and keeps nothing.
  diff_mode:
    support: full
    details:
      - Shows a line for each image, for what belongs to it, and for each file.
  idempotent:
    support: full
    details:
      - A second run changes nothing as long as no tag and no package moves.
  safe_file_operations:
    support: full
seealso:
  - module: homeport.registry.bundle_build
  - module: homeport.registry.bundle_info
"""

EXAMPLES = r"""
- name: Lock what the file says
  homeport.registry.bundle_lock:
    wish: "{{ playbook_dir }}/bundle.yml"
    lock: "{{ playbook_dir }}/bundle.lock.json"

- name: See what has moved since
  homeport.registry.bundle_lock:
    wish: "{{ playbook_dir }}/bundle.yml"
    lock: "{{ playbook_dir }}/bundle.lock.json"
  check_mode: true
  diff: true

- name: Lock images of two sources, one behind a mirror and one with an account
  homeport.registry.bundle_lock:
    lock: /srv/bundles/shop.lock.json
    definition:
      name: shop
      version: "2026.11"
      platforms: [linux/amd64, linux/arm64]
      own_images: true
      images:
        - nginx:1.27
        - name: registry.example.com/shop/db:3
          platforms: [linux/amd64]
      collections:
        - kubernetes.core:6.0.0
      python:
        packages: [kubernetes==34.1.0]
        versions: ["3.11", "3.12"]
        platforms: [manylinux_2_28_x86_64]
      files:
        - manifests
    sources:
      - host: docker.io
        url: https://mirror.example.com
        prefix: dockerhub
      - host: registry.example.com
        username: builder
        password: "{{ vault_builder_password }}"
"""

RETURN = r"""
changes:
  description: What is new, gone or moved since the lock was written last, a line for each image or file.
  returned: success
  type: list
  elements: str
  sample:
    - "docker.io/library/nginx:1.27: moved from sha256:aaaa... to sha256:bbbb..."
path:
  description: The lock.
  returned: success
  type: str
  sample: /srv/bundles/shop.lock.json
images:
  description: The images, sorted by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: docker.io/library/nginx:1.27
      digest: sha256:a8b39bd9cf0f83869a2162827a0caf6137ddf759d50a171451b335cecc87d236
      platforms: [linux/amd64]
      bootstrap: false
      referrers: 1
  contains:
    name:
      description: Name with the source host, and with the tag, or the digest where there is none.
      type: str
    digest:
      description: What it means now.
      type: str
    platforms:
      description: The platforms that are kept. Empty for what has none.
      type: list
      elements: str
    bootstrap:
      description: Whether it has to run before there is a registry.
      type: bool
    referrers:
      description: How many signatures, attestations and the like belong to it, those in tags included.
      type: int
files:
  description: Number of collections, wheels and other files.
  returned: success
  type: int
  sample: 41
bytes:
  description: Size of everything, each content once.
  returned: success
  type: int
  sample: 401234567
"""

import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_files import Tools, collect
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import Lock, changes, parse_lock
from ansible_collections.homeport.registry.plugins.module_utils._bundle_resolve import resolve
from ansible_collections.homeport.registry.plugins.module_utils._bundle_sources import Sources, sources_spec
from ansible_collections.homeport.registry.plugins.module_utils._bundle_tools import (
    building_spec,
    read_if_there,
    tools_from,
    write_atomically,
)
from ansible_collections.homeport.registry.plugins.module_utils._bundle_wish import Wish, parse_wish
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError

try:
    import yaml
except ImportError:
    YAML_ERROR: str | None = traceback.format_exc()
else:
    YAML_ERROR = None


def read_wish(params: t.Mapping[str, t.Any]) -> Wish:
    """Return the wish of a module's parameters."""
    if params["definition"] is not None:
        return parse_wish(params["definition"], "definition", os.path.dirname(os.path.abspath(params["lock"])))
    path = params["wish"]
    try:
        with open(path, encoding="utf-8") as stream:
            source = yaml.safe_load(stream)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise BundleError(
            "read the wish",
            where=path,
            got=" ".join(str(exc).split()),
            remedy="Name a YAML file that this user may read.",
        ) from exc
    return parse_wish(source, path, os.path.dirname(os.path.abspath(path)))


def make_lock(module: AnsibleModule, wish: Wish, tools: Tools) -> Lock:
    """Ask everybody what the wish means today."""
    params = module.params
    cache = Cache(params["cache"], writable=not module.check_mode)
    sources = Sources.of(params)
    try:
        found = resolve(wish.images, sources, cache, params["threads"])
    finally:
        sources.close()
    for digest in sorted(found.foreign):
        module.warn(f"The layer {digest} is one that registries do not hold. It is left out: get it from its vendor.")
    for image in wish.images:
        if image.name.tag == "latest" and not image.name.digest:
            module.warn(f"{image.name.full} has the tag latest, which nodes pull again and again.")
    files = collect(wish, tools, cache, os.path.dirname(os.path.abspath(params["lock"])))
    images = tuple(found.images[name] for name in sorted(found.images))
    return Lock(wish.name, wish.version, images, found.manifests, found.blobs, tuple(files))


def lock_it(module: AnsibleModule) -> tuple[dict[str, t.Any], Lock | None, Lock]:
    """Return the result, and the lock of before and of now."""
    path = module.params["lock"]
    wish = read_wish(module.params)
    written = read_if_there(path)
    before = parse_lock(written, path) if written is not None else None
    after = make_lock(module, wish, tools_from(module))
    # What another module refuses is not written first.
    parse_lock(after.dump(), path)
    changed = written != after.dump()
    if changed and not module.check_mode:
        write_atomically(module, path, after.dump())
    bundle = after.bundle()
    result = {
        "changed": changed,
        "changes": changes(before, after) if changed else [],
        "path": path,
        "images": [
            {
                "name": image.name,
                "digest": image.digest,
                "platforms": list(image.platforms),
                "bootstrap": image.bootstrap,
                "referrers": len(image.referrers) + len(image.tags),
            }
            for image in after.images
        ],
        "files": len(after.files),
        "bytes": sum(size for _path, size, _digest in bundle.members(1)),
    }
    return result, before, after


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "wish": {"type": "path"},
            "definition": {"type": "dict"},
            "lock": {"type": "path", "required": True},
            **building_spec(),
            **sources_spec(),
        },
        mutually_exclusive=[("wish", "definition")],
        required_one_of=[("wish", "definition")],
        supports_check_mode=True,
    )
    if YAML_ERROR is not None:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_ERROR)
    try:
        result, before, after = lock_it(module)
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    if module._diff:
        texts = ["".join(f"{line}\n" for line in lock.lines()) if lock else "" for lock in (before, after)]
        name = result["path"]
        result["diff"] = {"before": texts[0], "after": texts[1], "before_header": name, "after_header": name}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
