#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prove that a bundle is whole and is what was signed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_verify
short_description: Prove that a bundle is whole and is what was signed
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Checks the signature of a bundle, that all its volumes are there and hold what they should and nothing else, and
    reads every byte and compares it with its digest. Needs no network and no space on a disk.
  - What is wrong is named by volume and content, so that one medium has to be copied again and not all.
options:
  partial:
    description:
      - Whether volumes may be missing. Those that are there are verified all the same, and the others returned in
        RV(missing_volumes).
    type: bool
    default: false
  parent:
    description:
      - Files of the bundle that a delta builds on, or their folder, to prove that it has what the delta leaves out.
      - Only its signed document is read. Without it nothing is said about these contents;
        M(homeport.registry.bundle_push) looks for them in the registry.
    type: list
    elements: path
    default: []
  content:
    description:
      - Whether to read every byte. Without it only the signature, and names and sizes of the members are checked.
    type: bool
    default: true
  threads:
    description:
      - Threads that read and compute; V(0) is one for each processor.
    type: int
    default: 0
  report_only:
    description: Whether to return RV(problems) without failing.
    type: bool
    default: false
extends_documentation_fragment:
  - homeport.registry._bundle
  - homeport.registry._attributes
  - homeport.registry._attributes.reads
seealso:
  - module: homeport.registry.bundle_push
"""

EXAMPLES = r"""
- name: Verify everything on the medium before it goes inside
  homeport.registry.bundle_verify:
    bundle: [/media/transfer]
    trusted_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHx6DOuLa2VKOl7YK3bDLm+yLGLZkpJVyEmEXO3oOYJC release@example.com

- name: Verify the first volume as soon as it is copied
  homeport.registry.bundle_verify:
    bundle: [/srv/transfer/bundle-platform-2.vol01.tar]
    trusted_keys: "{{ release_keys }}"
    partial: true

- name: Verify a delta and that its parent has the rest
  homeport.registry.bundle_verify:
    bundle: [/media/transfer]
    parent: [/srv/bundles/bundle-platform-1.tar]
    trusted_keys: "{{ release_keys }}"
"""

RETURN = r"""
verified:
  description: Whether nothing is wrong.
  returned: always
  type: bool
  sample: true
problems:
  description: What is wrong, sorted by volume and content.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: damaged
      volume: 2
      file: /media/transfer/bundle-platform-2.vol02.tar
      content: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      text: "sha256:4413... in volume 2 (/media/transfer/bundle-platform-2.vol02.tar) is damaged: ..."
      remedy: Copy this volume again from its source and compare; if the source shows the same, build it again.
  contains:
    kind:
      description:
        - One of V(unreadable), V(signature), V(other-bundle), V(volume-twice), V(volume-missing), V(foreign-member),
          V(member-missing), V(damaged), V(other-parent), V(not-in-parent).
      type: str
    volume:
      description: Number of the volume; 0 where it is not known.
      type: int
    file:
      description: The file.
      type: str
    content:
      description: Digest of the content, or path of another member.
      type: str
    text:
      description: What is wrong.
      type: str
    remedy:
      description: What to do.
      type: str
name:
  description: Name of the bundle.
  returned: when a volume is signed by a trusted key
  type: str
  sample: platform
version:
  description: Version of the bundle.
  returned: when a volume is signed by a trusted key
  type: str
  sample: "2"
sha256:
  description: Sum of the signed document, which names the bundle for all time.
  returned: when a volume is signed by a trusted key
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
signed_by:
  description: Fingerprint of the trusted key that has signed it; empty if it was not asked for.
  returned: when a volume is signed by a trusted key
  type: str
  sample: SHA256:0AXSEr0DtwZ4jp2zdX7P3FIkpw9RkcdKmZZuXxGPPjg
parent:
  description: The bundle that a delta builds on, with C(name), C(version) and C(sha256). None for a whole bundle.
  returned: when a volume is signed by a trusted key
  type: dict
  sample: {name: platform, version: "1", sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}
volumes:
  description: The volumes at hand, with C(number), C(file) and C(bytes).
  returned: when a volume is signed by a trusted key
  type: list
  elements: dict
  sample: [{number: 1, file: /media/transfer/bundle-platform-2.tar, bytes: 404232192}]
missing_volumes:
  description: Numbers of the volumes that are not at hand.
  returned: when a volume is signed by a trusted key
  type: list
  elements: int
  sample: []
checked:
  description: What was read, with C(bytes), C(seconds) and C(bytes_per_second).
  returned: when a volume is signed by a trusted key
  type: dict
  sample: {bytes: 404000123, seconds: 0.31, bytes_per_second: 1303226203}
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_check as check
from ansible_collections.homeport.registry.plugins.module_utils._bundle_options import (
    about,
    bundle_spec,
    open_from,
    threads_for,
)
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


def verify(params: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], list[check.Finding]]:
    """Return the result, and what is wrong.

    Raises:
        RegistryError: when nothing can be opened at all.
    """
    began = time.monotonic()
    with open_from(params) as opened:
        findings, read = list(opened.findings), 0
        if not params["partial"]:
            findings += check.missing_volumes(opened)
        if params["parent"]:
            with check.open_bundle(
                params["parent"], params["trusted_keys"], allow_unsigned=params["allow_unsigned"]
            ) as parent:
                findings += check.missing_in_parent(opened, parent)
        if params["content"]:
            read, found = check.check_content(opened, threads=threads_for(params["threads"]))
            findings += found
        seconds = max(time.monotonic() - began, 1e-6)
        checked = {"bytes": read, "seconds": round(seconds, 3), "bytes_per_second": round(read / seconds)}
        return {**about(opened), "checked": checked}, findings


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **bundle_spec(),
            "partial": {"type": "bool", "default": False},
            "parent": {"type": "list", "elements": "path", "default": []},
            "content": {"type": "bool", "default": True},
            "threads": {"type": "int", "default": 0},
            "report_only": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    result: dict[str, t.Any] = {}
    try:
        result, findings = verify(module.params)
    except check.Refused as exc:
        findings = exc.findings
    except RegistryError as exc:
        module.fail_json(msg=str(exc), verified=False, problems=[], **exc.as_dict())
    result |= {"verified": not findings, "problems": check.as_dicts(findings)}
    if findings and not module.params["report_only"]:
        first = result["problems"][0]
        more = f" ({len(findings)} problems in all)" if len(findings) > 1 else ""
        module.fail_json(msg=f"The bundle is not what it should be: {first['text']}. {first['remedy']}{more}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
