#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tell how a container registry is, with evidence."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_info
short_description: Tell how a container registry is, with evidence
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Looks at a registry the way its users do and returns what was seen, together with a list of what is wrong.
  - Looks at the certificates, the front door, and what each given user and a client without a password may do.
  - On request also pushes a small image, pulls it, compares it and removes it again (O(round_trip)).
  - A registry that is not well is an answer and not a failure, unless O(fail_on_unhealthy) is set.
    The module fails when the question itself is wrong, for instance an address that is none.
  - Whether a user may write is tried by opening an upload and cancelling it, which leaves nothing behind.
options:
  users:
    description:
      - Accounts to try. What each may do is compared with its role.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: User name.
        type: str
        required: true
      password:
        description: Password.
        type: str
        required: true
      role:
        description:
          - What the account should be able to do. V(reader) pulls and is refused to push, V(writer) does both.
        type: str
        choices: [reader, writer]
        default: reader
  anonymous:
    description:
      - What a client without a password should be able to do.
      - V(none) is nothing, V(reader) pulls and is refused to push, V(writer) does both.
    type: str
    choices: [none, reader, writer]
    default: none
  certificate_days:
    description: For how many days every certificate should still be valid. Not looked at without O(validate_certs).
    type: int
    default: 14
  round_trip:
    description:
      - Whether to push, pull, compare and remove an image of about 5 kB.
      - Needs a writer in O(users), or O(anonymous=writer). The first reader pulls, or the writer if there is none.
      - The registry has to allow deleting; what was deleted uses its space until the next garbage collection.
    type: bool
    default: false
  round_trip_repository:
    description:
      - Repository in which rights are tried and the image of the round trip is pushed. Use it for nothing else.
    type: str
    default: homeport/health
  fail_on_unhealthy:
    description: Whether to fail when RV(problems) is not empty. The result holds the evidence all the same.
    type: bool
    default: false
extends_documentation_fragment:
  - homeport.registry._registry
  - homeport.registry._attributes
  - homeport.registry._attributes.actiongroup_registry
attributes:
  check_mode:
    support: partial
    details:
      - Sends nothing that writes. Whether users may write, and the round trip, are returned as skipped.
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
  idempotent:
    support: full
seealso:
  - module: homeport.registry.htpasswd
  - name: Distribution API
    description: What a registry promises.
    link: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

EXAMPLES = r"""
- name: Look at a registry from outside
  homeport.registry.health_info:
    url: https://registry.example.com
  register: health

- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ health.problems }}"
  when: not health.healthy

- name: Prove that users can do what they should, and no more
  homeport.registry.health_info:
    url: https://registry.example.com
    ca_cert: /etc/ssl/private-ca.crt
    users:
      - name: ci
        password: "{{ vault_ci_password }}"
        role: writer
      - name: nodes
        password: "{{ vault_nodes_password }}"
        role: reader
    round_trip: true
    fail_on_unhealthy: true
"""

RETURN = r"""
healthy:
  description: Whether nothing is wrong. Always together with the evidence below.
  returned: always
  type: bool
  sample: true
problems:
  description: What is wrong, in the order it was found.
  returned: always
  type: list
  elements: dict
  sample:
    - tried: find writing to homeport/health refused to user nodes
      where: https://registry.example.com
      got: status 202
      remedy: Take this account out of those that may do this.
  contains:
    tried:
      description: What was tried.
      type: str
    where:
      description: Where.
      type: str
    got:
      description: What came back.
      type: str
    remedy:
      description: What to do.
      type: str
endpoint:
  description: The front door, C(/v2/), without credentials.
  returned: always
  type: dict
  sample:
    url: https://registry.example.com
    reachable: true
    status: 401
    api_version: registry/2.0
    seconds: 0.012
  contains:
    url:
      description: Address without a trailing slash.
      type: str
    reachable:
      description: Whether any answer came.
      type: bool
    status:
      description: HTTP status, or none.
      type: int
    api_version:
      description: What the server calls its API, may be empty.
      type: str
    seconds:
      description: Time until the answer.
      type: float
tls:
  description: The encrypted connection; none for http, or when it was not reached.
  returned: always
  type: dict
  sample:
    protocol: TLSv1.3
    trusted: true
    problem: ''
    days_left: 71
    chain:
      - subject: CN=registry.example.com
        issuer: O=Example, CN=Example CA
        names: [registry.example.com]
        not_before: Jan  5 00:00:00 2026 GMT
        not_after: Apr  5 00:00:00 2026 GMT
        days_left: 71
        sha256: 3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550
  contains:
    protocol:
      description: Version of TLS.
      type: str
    trusted:
      description: Whether the certificate was verified; false also with O(validate_certs=false).
      type: bool
    problem:
      description: Why it is not trusted, or empty.
      type: str
    days_left:
      description: Days until the first certificate of the chain expires, rounded down.
      type: int
    chain:
      description: Certificates, that of the server first.
      type: list
      elements: dict
challenge:
  description: What the registry asks clients for; none when it lets everybody in, or was not reached.
  returned: always
  type: dict
  sample:
    scheme: basic
    realm: Registry
    service: ''
  contains:
    scheme:
      description: V(basic) or V(bearer).
      type: str
    realm:
      description: Name of the realm, or address of the token service.
      type: str
    service:
      description: Name of the service, for tokens.
      type: str
anonymous:
  description: What a client without a password may do, as in RV(users). None when the registry was not reached.
  returned: always
  type: dict
  sample:
    role: none
    ok: true
    read: {expected: false, allowed: false, status: 401, seconds: 0.004, skipped: ''}
    write: {expected: false, allowed: false, status: 401, seconds: 0.004, skipped: ''}
users:
  description: What each account may do. Empty when the registry was not reached.
  returned: always
  type: list
  elements: dict
  sample:
    - name: nodes
      role: reader
      ok: true
      read: {expected: true, allowed: true, status: 200, seconds: 0.006, skipped: ''}
      write: {expected: false, allowed: false, status: 401, seconds: 0.007, skipped: ''}
  contains:
    name:
      description: User name.
      type: str
    role:
      description: The role that was asked for.
      type: str
    ok:
      description: Whether everything that was tried is as the role says.
      type: bool
    read:
      description: Reading the tags of O(round_trip_repository).
      type: dict
    write:
      description: Opening and cancelling an upload to O(round_trip_repository).
      type: dict
round_trip:
  description: The journey of the image; none when it was not asked for or the registry was not reached.
  returned: always
  type: dict
  sample:
    skipped: ''
    repository: homeport/health
    tag: health-5f1d0c0a9e3b7a42
    digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    removed: true
    seconds: 0.15
    steps:
      - step: push config
        user: ci
        digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
        size: 48
        ok: true
        statuses: [202, 201]
        seconds: 0.02
  contains:
    skipped:
      description: Why nothing was done, or empty.
      type: str
    repository:
      description: Where the image went.
      type: str
    tag:
      description: Its tag, a new one each time.
      type: str
    digest:
      description: Its digest.
      type: str
    removed:
      description: Whether nothing is left of it.
      type: bool
    seconds:
      description: Time of all steps.
      type: float
    steps:
      description: Each step with the user, the digest and size of the content, and the HTTP statuses.
      type: list
      elements: dict
requests:
  description: How many HTTP requests were sent.
  returned: always
  type: int
  sample: 24
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_health import (
    Account,
    Checkup,
    travellers,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_repository
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    CONNECTION_EXCLUSIVE,
    connection_spec,
    context_from,
)


def look(module: AnsibleModule) -> Checkup:
    """Look at everything that was asked for."""
    params = module.params
    accounts = [Account(user["name"], user["password"], user["role"]) for user in params["users"]]
    accounts.append(Account(None, None, params["anonymous"]))
    pair = travellers(accounts)
    if params["round_trip"] and pair is None:
        module.fail_json(msg="round_trip needs an account that may push: a user with role writer, or anonymous=writer.")
    checkup = Checkup(
        params["url"],
        accounts,
        context=context_from(params),
        timeout=params["timeout"],
        read_only=module.check_mode,
        repository=check_repository(params["round_trip_repository"]),
    )
    if checkup.look_at_tls(params["certificate_days"]) and checkup.look_at_endpoint():
        checkup.look_at_accounts()
        if params["round_trip"] and pair:
            checkup.travel(*pair)
    checkup.close()
    return checkup


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "users": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "role": {"type": "str", "choices": ["reader", "writer"], "default": "reader"},
                },
            },
            "anonymous": {"type": "str", "choices": ["none", "reader", "writer"], "default": "none"},
            "certificate_days": {"type": "int", "default": 14},
            "round_trip": {"type": "bool", "default": False},
            "round_trip_repository": {"type": "str", "default": "homeport/health"},
            "fail_on_unhealthy": {"type": "bool", "default": False},
        },
        mutually_exclusive=CONNECTION_EXCLUSIVE,
        supports_check_mode=True,
    )
    try:
        checkup = look(module)
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    problems = [problem.as_dict() for problem in checkup.problems]
    result = checkup.evidence | {
        "changed": checkup.left_something,
        "healthy": not problems,
        "problems": problems,
        "requests": checkup.requests,
    }
    if problems and module.params["fail_on_unhealthy"]:
        module.fail_json(msg=" ".join(str(problem) for problem in checkup.problems), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
