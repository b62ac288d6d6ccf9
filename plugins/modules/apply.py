#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: apply
short_description: Apply a set of Kubernetes objects in one parallel wave
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Makes a cluster agree with a set of objects from templates and definitions, all in one task.
  - Every object is sent as a server-side apply with strict field validation, in parallel on a few kept connections.
    Namespaces and CustomResourceDefinitions go ahead of the rest only where they do not exist yet.
  - Reports a change exactly when an object changed. Drift of any field that the task owns is found and repaired.
    Status updates and fields of other owners are not a change.
  - With O(record) it remembers what it applied and deletes what leaves the set, with every precaution.
  - An object of somebody else can be joined instead of applied. With the annotation
    C(registry.homeport.dev/apply=join) it holds lists of names, for example the C(imagePullSecrets) of a
    ServiceAccount. The entries are added to what is there, no entry of others is ever changed, and removal and pruning
    take out ours only. The object is never made. Pods that cannot pull because they were created before their
    ServiceAccount was joined are named in a warning.
  - Waits by watch for all workloads, volume claims and certificates at once, and says what blocks them.
  - A task that changes nothing writes nothing. It sends one request for each object, one for the record,
    one for each entry of O(live), and one for each namespace whose ServiceAccounts it joins.
options:
  state:
    description:
      - V(present) applies the objects.
      - V(absent) deletes them, and what else the record lists, in the reverse of the order in which they depend on each
        other, waiting for each step when O(wait) is set. The record goes last.
    type: str
    choices: [present, absent]
    default: present
  refuse:
    description:
      - Reasons not to go on. When there are any, the task fails with all of them before it reads or sends anything.
      - A role lists here what it finds wrong with its variables, which saves a task of its own for that.
    type: list
    elements: str
    default: []
  templates:
    description:
      - Templates, looked up like those of M(ansible.builtin.template). Each renders to a YAML stream of any number of
        documents, and empty documents are dropped.
      - They are rendered in the controller with the variables of the task and RV(ignore:live), the objects of O(live).
    type: list
    elements: path
  definitions:
    description:
      - Objects, as dictionaries or as YAML texts of any number of documents.
    type: list
    elements: raw
  namespace:
    description:
      - Namespace for namespaced objects that name none.
    type: str
  live:
    description:
      - Objects to read, in parallel, before the templates are rendered.
      - Templates find them in the dictionary C(live) under C(Kind/name). The value is none when the object does not
        exist, so a template can generate something once and keep it.
      - An entry without a name asks for all objects of the kind. Templates find their metadata, and nothing else of
        them, as a list under C(Kind).
      - C(live_time) is the time at which they were read, by the clock of the API server, such as
        C(2026-01-31T12:00:00Z).
    type: list
    elements: dict
    suboptions:
      api_version:
        description: API version of the object.
        type: str
        default: v1
      kind:
        description: Kind of the object.
        type: str
        required: true
      name:
        description: Name of the object.
        type: str
      namespace:
        description:
          - Namespace of the object or objects, O(namespace) when not given.
          - V(*) means all namespaces, for an entry without a name.
        type: str
      label_selector:
        description: Labels that the objects of an entry without a name must have, as C(kubectl) takes them.
        type: str
  record:
    description:
      - Name of the inventory record, a ConfigMap C(homeport-<record>) that lists what the task has applied.
      - Without a record nothing is pruned, and every object costs one more request, to know its state beforehand.
    type: str
  record_namespace:
    description:
      - Namespace of the record, O(namespace) when not given.
    type: str
  prune:
    description:
      - Whether objects that the record lists and the task no longer contains are deleted.
      - An object that was replaced by another one of the same name is left alone, and so is one with the annotation
        C(registry.homeport.dev/prune=disabled).
      - With V(false) they stay in the record, to be pruned by a later run.
    type: bool
    default: true
  delete_protected:
    description:
      - Objects, as C(Kind/name), that may be deleted although their kind is protected.
      - PersistentVolumeClaims and Namespaces are protected. They are neither pruned nor deleted by O(state=absent)
        unless they are named here. A Namespace also stays when it holds a PersistentVolumeClaim that is not named here.
    type: list
    elements: str
    default: []
  force_conflicts:
    description:
      - Whether fields that belong to another manager are taken over. Without it they fail the task, and the message
        names the owner.
    type: bool
    default: false
  field_manager:
    description:
      - Name under which the fields are owned.
    type: str
    default: homeport
  wait:
    description:
      - Whether to wait until every Deployment, StatefulSet, DaemonSet, Job, PersistentVolumeClaim, Certificate and
        CustomResourceDefinition in the task is ready, or with O(state=absent) until every object is gone.
      - A claim that stays unbound only because no pod uses it yet counts as ready.
      - Nothing is waited for in check mode.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds that the wait for all objects together may take.
    type: int
    default: 300
  connections:
    description:
      - Number of connections that are kept open at once.
    type: int
    default: 12
  _live_only:
    description:
      - Set by the action plugin where the connection is not local, to read O(live) before it renders.
        Not for use in tasks.
    type: bool
  _packed:
    description:
      - Set by the action plugin where the connection is not local, the objects that it rendered. Not for use in tasks.
    type: str
attributes:
  check_mode:
    support: full
    details:
      - The server checks every object by dry run, with admission, quotas and webhooks. Nothing is written.
      - What belongs to a namespace that does not exist yet is reported as created without that check.
  diff_mode:
    support: full
    details:
      - Shows the fields that the task owns. Values in Secrets are replaced by marks that tell equal from different.
      - A diff costs one more request for each object.
  idempotent:
    support: full
  action:
    support: full
  async:
    support: none
extends_documentation_fragment:
  - homeport.registry._attributes
  - homeport.registry._attributes.flow
  - homeport.registry._attributes.actiongroup_k8s
  - homeport.registry._kubernetes
seealso:
  - module: kubernetes.core.k8s
  - name: Server-side apply
    description: Who owns a field, and what a conflict is.
    link: https://kubernetes.io/docs/reference/using-api/server-side-apply/
notes:
  - With a local connection everything happens in the controller process. With any other connection, or with C(become),
    the templates are rendered in the controller and the rest happens on the host of the task, with the files there.
  - C(stringData) of a Secret is sent as C(data), so that a key that leaves the template also leaves the Secret.
  - Throttled requests, failing webhooks and lost connections are retried for a bounded time.
"""

EXAMPLES = r"""
- name: Apply everything that the templates contain and delete what has left them
  homeport.registry.apply:
    namespace: registry
    record: registry-server
    templates:
      - config.yml.j2
      - server.yml.j2

- name: Generate a password once and keep it
  homeport.registry.apply:
    namespace: registry
    live:
      - kind: Secret
        name: registry-http
    # http_secret.yml.j2 contains the line
    #   secret: {{ (live['Secret/registry-http'] or {}).data.secret | default(generated | b64encode) }}
    templates: [http_secret.yml.j2]
  vars:
    generated: "{{ lookup('ansible.builtin.password', '/dev/null', length=32) }}"

- name: Apply objects that are written in the playbook
  homeport.registry.apply:
    context: production
    definitions:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: registry
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: motd
          namespace: registry
        data:
          text: Pulls never stop.

- name: Give every namespace of a team a ConfigMap, and its default account a pull secret
  homeport.registry.apply:
    namespace: registry
    record: registry-teams
    live:
      - kind: Namespace
        label_selector: team
    # teams.yml.j2 contains a loop over live['Namespace'] with, among others,
    #   kind: ServiceAccount
    #   metadata:
    #     name: default
    #     namespace: {{ item.metadata.name }}
    #     annotations: {registry.homeport.dev/apply: join}
    #   imagePullSecrets: [{name: registry-pull}]
    templates: [teams.yml.j2]

- name: See what would change on a cluster that only a bastion reaches
  homeport.registry.apply:
    kubeconfig: /etc/kubernetes/registry.conf
    namespace: registry
    record: registry-server
    templates: [server.yml.j2]
  check_mode: true
  diff: true
  delegate_to: bastion.example.com

- name: Remove everything but the volume, which is protected
  homeport.registry.apply:
    state: absent
    namespace: registry
    record: registry-server
    templates: [server.yml.j2]

- name: Remove the volume as well
  homeport.registry.apply:
    state: absent
    namespace: registry
    record: registry-storage
    templates: [storage.yml.j2]
    delete_protected:
      - PersistentVolumeClaim/registry-data
"""

RETURN = r"""
objects:
  description: What became of every object, in the order of the work.
  returned: unless the options or templates were refused
  type: list
  elements: dict
  contains:
    api_version:
      description: API version of the object.
      type: str
      returned: always
      sample: apps/v1
    kind:
      description: Kind of the object.
      type: str
      returned: always
      sample: Deployment
    namespace:
      description: Namespace of the object, empty for one without.
      type: str
      returned: always
      sample: registry
    name:
      description: Name of the object.
      type: str
      returned: always
      sample: registry
    action:
      description:
        - What was done, or would be done in check mode.
        - V(kept) is an object that would go if it were not protected, V(absent) one that was not there,
          V(failed) one that the server refused.
      type: str
      returned: always
      sample: updated
    changed:
      description: Whether the object changed.
      type: bool
      returned: always
      sample: true
actions:
  description: What was changed, or would be changed in check mode, in order.
  returned: unless the options or templates were refused
  type: list
  elements: str
  sample:
    - update Deployment registry/registry
    - prune ConfigMap registry/registry-old
    - update record ConfigMap registry/homeport-registry-server
record:
  description: The inventory record, none without O(record).
  returned: unless the options or templates were refused
  type: dict
  sample:
    api_version: v1
    kind: ConfigMap
    namespace: registry
    name: homeport-registry-server
    action: updated
    changed: true
requests:
  description: Number of requests sent to the API server.
  returned: unless the options or templates were refused
  type: int
  sample: 12
duration:
  description: Seconds that the conversation with the API server took, waiting included.
  returned: unless the options or templates were refused
  type: float
  sample: 0.041
"""

import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import (
    ARGUMENT_SPEC,
    Engine,
    unpack,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import CLIENT_IMPORT_ERROR, AccessError


def main() -> None:
    """Run the engine on this host with objects that the controller has rendered."""
    spec = {
        **ARGUMENT_SPEC,
        # the action plugin asks for live objects first, because templates are rendered with them
        "_live_only": {"type": "bool"},
        # one text for all rendered objects is hidden as a whole, not word by word in every message
        "_packed": {"type": "str", "no_log": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if CLIENT_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=CLIENT_IMPORT_ERROR)
    try:
        engine = Engine(module.params, os.environ, check_mode=module.check_mode, diff=module._diff)
        if module.params["_live_only"]:
            module.exit_json(changed=False, live=engine.read_live(), live_time=engine.server_time())
        module.exit_json(**engine.run(unpack(module.params["_packed"] or "[]")))
    except ApplyError as error:
        module.fail_json(**{**error.details, "msg": error.message})
    except AccessError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
