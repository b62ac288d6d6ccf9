#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Push the images of a bundle to a registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_push
short_description: Push the images of a bundle to a registry
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Pushes the images of a bundle, with everything that belongs to them, so that every digest stays what it was at its
    source. Reads the volumes in place; nothing is unpacked and no space on a disk is needed.
  - The signature, and every byte that will be read, are verified before the first write. Each content is sent once and
    mounted into the other repositories that need it; what the registry has already is not sent. What was written is
    read again, and only then the tags that people use are set.
  - An image keeps the host of its source as first part of its path, so that V(docker.io/library/nginx:1.27) becomes
    V(registry.example.com/docker.io/library/nginx:1.27). The colon of a port becomes an underscore.
  - Every image also gets a tag such as V(hp-platform-2-44136fa355b3) of its bundle, which keeps it when the other tag
    moves on.
  - An interrupted push goes on where it stopped, also inside of a layer. A registry that asks to come back later, such
    as one whose garbage is being collected, is waited for.
  - Volumes can be pushed one at a time and in any order. Images that still need another one are V(waiting).
options:
  username:
    description:
      - User that may pull and push. Without one the client has no password.
    type: str
  password:
    description:
      - Password of O(username).
    type: str
  timeout:
    description:
      - Seconds to wait for a connection, for each piece of a body to go out, and for each answer.
    type: float
    default: 60
  busy_timeout:
    description:
      - Seconds that each request waits for a registry that asks to come back later (429, 503).
    type: float
    default: 600
  stall_timeout:
    description:
      - Seconds after which an upload of which no byte moves is given up, in spite of all attempts.
    type: float
    default: 300
  threads:
    description:
      - Connections to use at once. They get fewer while the registry answers with errors.
    type: int
    default: 4
  chunk_size:
    description:
      - Most bytes to send in one request, for proxies that do not take more; V(0) sends each layer in one. A proxy that
        answers 413 gets smaller requests without this.
    type: int
    default: 0
  state_dir:
    description:
      - Folder for the URLs of uploads under way, which an interrupted push goes on with. Only its owner can read them,
        since who knows such a URL may write there. Removed after a push that is complete.
    type: path
    default: ~/.ansible/homeport
  progress_file:
    description:
      - File to write how far it is as JSON, once in a second, for whoever wants to look while a task runs with
        C(async).
    type: path
extends_documentation_fragment:
  - homeport.registry._registry
  - homeport.registry._bundle
  - homeport.registry._attributes
  - homeport.registry._attributes.actiongroup_registry
attributes:
  check_mode:
    support: full
    details:
      - Verifies, looks at the registry and returns what would be sent, mounted and tagged.
  diff_mode:
    support: full
    details:
      - Shows which tags point elsewhere afterwards.
  idempotent:
    support: full
seealso:
  - module: homeport.registry.bundle_verify
  - module: homeport.registry.gc_verify
notes:
  - An image of which the bundle holds some platforms only keeps the digest of its whole index. Distribution 3 takes it
    with C(validation.manifests.indexes.platforms) set to V(list); version 2.8 does not. Such a server breaks on indexes
    whose entries name no platform.
  - Lists of what belongs to an image are kept under the tags where clients look for them, since no release of
    Distribution can tell by itself. A list that is there already is added to.
"""

EXAMPLES = r"""
- name: Push what is on the medium
  homeport.registry.bundle_push:
    url: https://registry.example.com
    username: ci
    password: "{{ vault_ci_password }}"
    bundle: [/media/transfer]
    trusted_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHx6DOuLa2VKOl7YK3bDLm+yLGLZkpJVyEmEXO3oOYJC release@example.com
  register: pushed

- name: Push a volume that has just been copied, and look for the others later
  homeport.registry.bundle_push:
    url: https://registry.example.com
    username: ci
    password: "{{ vault_ci_password }}"
    bundle: [/srv/transfer/bundle-platform-2.vol01.tar]
    trusted_keys: "{{ release_keys }}"
    progress_file: /run/bundle-progress.json
"""

RETURN = r"""
images:
  description: All images of the bundle, in its order.
  returned: when the registry was looked at
  type: list
  elements: dict
  sample:
    - name: docker.io/library/nginx:1.27
      repository: docker.io/library/nginx
      tag: "1.27"
      digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      served: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      status: pushed
      waits_for: []
      problem: ""
      sent: 52871234
      mounted: 1048576
      skipped: 0
  contains:
    name:
      description: Its name at its source.
      type: str
    repository:
      description: Where it is in the registry.
      type: str
    tag:
      description: Under which it is there.
      type: str
    digest:
      description: What it is in the bundle.
      type: str
    served:
      description:
        - The digest that the registry served under this tag after the push. Empty in check mode and without success.
      type: str
    status:
      description:
        - V(pushed), V(unchanged), V(waiting) for other volumes, or V(failed). In check mode what it would be.
      type: str
    waits_for:
      description: Numbers of the volumes that hold what it still needs.
      type: list
      elements: int
    problem:
      description: Why it failed.
      type: str
    sent:
      description: Bytes of its contents that were sent.
      type: int
    mounted:
      description: Bytes of its contents that were mounted from another repository.
      type: int
    skipped:
      description: Bytes of its contents that were there already, or came with an image before it.
      type: int
complete:
  description: Whether every image is there.
  returned: when the registry was looked at
  type: bool
  sample: true
totals:
  description:
    - Bytes C(sent), C(mounted) and C(skipped), C(wire) bytes that went out including what was sent again, C(manifests)
      and C(tags) that were written, C(seconds), and the C(least_connections) that were used at once.
  returned: when the registry was looked at
  type: dict
  sample:
    sent: 404000123
    mounted: 41943040
    skipped: 0
    wire: 404000123
    manifests: 20
    tags: 40
    seconds: 1.81
    least_connections: 4
name:
  description: Name of the bundle.
  returned: when it is signed by a trusted key
  type: str
  sample: platform
version:
  description: Version of the bundle.
  returned: when it is signed by a trusted key
  type: str
  sample: "2"
sha256:
  description: Sum of the signed document, which names the bundle for all time.
  returned: when it is signed by a trusted key
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
signed_by:
  description: Fingerprint of the trusted key that has signed it; empty if it was not asked for.
  returned: when it is signed by a trusted key
  type: str
  sample: SHA256:0AXSEr0DtwZ4jp2zdX7P3FIkpw9RkcdKmZZuXxGPPjg
parent:
  description: The bundle that a delta builds on, with C(name), C(version) and C(sha256). None for a whole bundle.
  returned: when it is signed by a trusted key
  type: dict
  sample: {name: platform, version: "1", sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}
volumes:
  description: The volumes at hand, with C(number), C(file) and C(bytes).
  returned: when it is signed by a trusted key
  type: list
  elements: dict
  sample: [{number: 1, file: /media/transfer/bundle-platform-2.tar, bytes: 404232192}]
missing_volumes:
  description: Numbers of the volumes that are not at hand.
  returned: when it is signed by a trusted key
  type: list
  elements: int
  sample: []
absent:
  description: Digests that a delta leaves to the registry and that are not there. Nothing was pushed then.
  returned: failure because of them
  type: list
  elements: str
  sample: []
incomplete:
  description: Names of the images that need what is absent.
  returned: failure because of it
  type: list
  elements: str
  sample: []
problems:
  description: What is wrong with the volumes, as RV(homeport.registry.bundle_verify#module:problems).
  returned: failure because of them
  type: list
  elements: dict
  sample: []
"""

import gc
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_check as check
from ansible_collections.homeport.registry.plugins.module_utils._bundle_options import about, bundle_spec, open_from
from ansible_collections.homeport.registry.plugins.module_utils._bundle_report import PushFailed, push
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    ACCOUNT_TOGETHER,
    CONNECTION_EXCLUSIVE,
    connection_spec,
    context_from,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_resume import Limits
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import Throttle


def argument_spec() -> dict[str, dict[str, t.Any]]:
    """Return the module's argument specification."""
    return {
        **connection_spec(),
        **bundle_spec(),
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "timeout": {"type": "float", "default": 60.0},
        "busy_timeout": {"type": "float", "default": 600.0},
        "stall_timeout": {"type": "float", "default": 300.0},
        "threads": {"type": "int", "default": 4},
        "chunk_size": {"type": "int", "default": 0},
        "state_dir": {"type": "path", "default": "~/.ansible/homeport"},
        "progress_file": {"type": "path"},
    }


def main() -> None:
    """Run the module."""
    # What was imported stays to the end: looking through it again and again is for nothing.
    gc.freeze()
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=CONNECTION_EXCLUSIVE,
        required_together=ACCOUNT_TOGETHER,
        supports_check_mode=True,
    )
    params = module.params
    if params["threads"] < 1:
        module.fail_json(msg="threads has to be at least 1.")
    throttle = Throttle(params["threads"])

    def observe(exchange: Exchange) -> None:
        if exchange.status >= 500 or exchange.status == 429:
            throttle.slower()

    result: dict[str, t.Any] = {}
    try:
        transport = Transport(
            context=context_from(params),
            timeout=params["timeout"],
            attempts=6,
            busy=params["busy_timeout"],
            read_only=module.check_mode,
            observer=observe,
        )
        session = Session(transport, params["url"], params["username"], params["password"])
        with open_from(params) as opened:
            result = about(opened)
            limits = Limits(
                stall=params["stall_timeout"], busy=params["busy_timeout"], chunk=params["chunk_size"] or None
            )
            pushed, warnings = push(
                session,
                opened,
                threads=params["threads"],
                limits=limits,
                throttle=throttle,
                state_dir=params["state_dir"],
                progress_file=params["progress_file"],
                check_mode=module.check_mode,
            )
        transport.close()
    except check.Refused as exc:
        module.fail_json(msg=str(exc), problems=check.as_dicts(exc.findings), **result, **exc.as_dict())
    except PushFailed as exc:
        module.fail_json(msg=str(exc), **result, **exc.result, **exc.as_dict())
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **result, **exc.as_dict())
    for warning in warnings:
        module.warn(warning)
    module.exit_json(**result, **pushed)


if __name__ == "__main__":
    main()
