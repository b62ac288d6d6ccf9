# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the API server calls each kind, without asking it, and in which order kinds are removed.

This module is private to the collection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """One kind as the API server serves it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """Return the value of ``apiVersion`` in an object of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Return the resource as RBAC messages name it, for example ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def collection(self, namespace: str | None) -> str:
        """Return the path of the collection, within ``namespace`` when the kind has namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            root += f"/namespaces/{quote(namespace, safe='')}"
        return f"{root}/{self.plural}"

    def path(self, namespace: str | None, name: str) -> str:
        """Return the path of one object."""
        return f"{self.collection(namespace)}/{quote(name, safe='')}"


# apiVersion, then kinds: Kind[=plural], a leading "-" marks a kind without namespaces
_TABLE = """
v1 ConfigMap Endpoints=endpoints Event LimitRange -Namespace -Node PersistentVolumeClaim -PersistentVolume Pod
v1 PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount
apps/v1 DaemonSet Deployment ReplicaSet StatefulSet
autoscaling/v1 HorizontalPodAutoscaler
autoscaling/v2 HorizontalPodAutoscaler
batch/v1 CronJob Job
coordination.k8s.io/v1 Lease
discovery.k8s.io/v1 EndpointSlice
networking.k8s.io/v1 Ingress -IngressClass NetworkPolicy=networkpolicies
policy/v1 PodDisruptionBudget
rbac.authorization.k8s.io/v1 -ClusterRole -ClusterRoleBinding Role RoleBinding
storage.k8s.io/v1 -CSIDriver -StorageClass=storageclasses
scheduling.k8s.io/v1 -PriorityClass=priorityclasses
node.k8s.io/v1 -RuntimeClass=runtimeclasses
apiregistration.k8s.io/v1 -APIService
admissionregistration.k8s.io/v1 -MutatingWebhookConfiguration -ValidatingWebhookConfiguration
admissionregistration.k8s.io/v1 -ValidatingAdmissionPolicy=validatingadmissionpolicies
admissionregistration.k8s.io/v1 -ValidatingAdmissionPolicyBinding
apiextensions.k8s.io/v1 -CustomResourceDefinition
cert-manager.io/v1 Certificate CertificateRequest -ClusterIssuer Issuer
trust.cert-manager.io/v1alpha1 -Bundle
gateway.networking.k8s.io/v1 Gateway -GatewayClass=gatewayclasses GRPCRoute HTTPRoute
monitoring.coreos.com/v1 PodMonitor Probe PrometheusRule ServiceMonitor
snapshot.storage.k8s.io/v1 VolumeSnapshot -VolumeSnapshotClass=volumesnapshotclasses
"""


def plural_of(kind: str) -> str:
    """Return the regular plural resource name of ``kind``."""
    name = kind.lower()
    return name + ("es" if name.endswith("s") else "s")


def _read_table(table: str) -> dict[tuple[str, str], Resource]:
    known = {}
    for line in table.split("\n"):
        api_version, *kinds = line.split() or [""]
        group, version = split_api_version(api_version)
        for entry in kinds:
            kind, _equals, plural = entry.lstrip("-").partition("=")
            resource = Resource(group, version, kind, plural or plural_of(kind), not entry.startswith("-"))
            known[api_version, kind] = resource
    return known


def split_api_version(api_version: str) -> tuple[str, str]:
    """Return group and version; the group of the core API is empty."""
    group, _slash, version = api_version.rpartition("/")
    return group, version


KNOWN = _read_table(_TABLE)
NAMESPACE = KNOWN["v1", "Namespace"]
CONFIG_MAP = KNOWN["v1", "ConfigMap"]
SECRET = KNOWN["v1", "Secret"]
POD = KNOWN["v1", "Pod"]
JOB = KNOWN["batch/v1", "Job"]
CRON_JOB = KNOWN["batch/v1", "CronJob"]
EVENT = KNOWN["v1", "Event"]
VOLUME_CLAIM = KNOWN["v1", "PersistentVolumeClaim"]
STORAGE_CLASS = KNOWN["storage.k8s.io/v1", "StorageClass"]
CRD = KNOWN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]

# groups that every API server serves by itself; the kinds of all others come from CRDs
_GROUPS = {resource.group for resource in KNOWN.values()}
_BUILT_IN = {group for group in _GROUPS if "." not in group or group.endswith(".k8s.io")}
_BUILT_IN -= {"gateway.networking.k8s.io", "snapshot.storage.k8s.io"}

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Pod")
_EVERYTHING_ELSE = ("Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Lease")
# what acts on other objects goes first, the ground that everything stands on last
_REMOVAL_STAGES = (
    ("HorizontalPodAutoscaler", "CronJob", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
    _WORKLOADS,
    _EVERYTHING_ELSE,
    ("ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount", "ResourceQuota", "LimitRange"),
    ("RoleBinding", "Role", "ClusterRoleBinding", "ClusterRole"),
    ("CustomResourceDefinition", "StorageClass", "PriorityClass", "RuntimeClass", "IngressClass", "APIService"),
    ("Namespace",),
)
_STAGE_OF = {kind: stage for stage, kinds in enumerate(_REMOVAL_STAGES) for kind in kinds}


def removal_stage(resource: Resource) -> int:
    """Return the position of a kind in the order of removal; equal numbers go together."""
    if resource.group not in _BUILT_IN:
        # the controllers that finish custom resources may be workloads of the same set
        return 0
    return _STAGE_OF.get(resource.kind, _REMOVAL_STAGES.index(_EVERYTHING_ELSE))


def is_workload(resource: Resource) -> bool:
    """Tell whether removing an object of this kind has to take its pods along first."""
    return resource.kind in _WORKLOADS


def from_crd(definition: dict[str, Any]) -> Iterable[Resource]:
    """Yield every kind that a CustomResourceDefinition would make the server serve."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    for version in spec.get("versions") or ():
        if version.get("served") and names.get("kind") and names.get("plural"):
            namespaced = spec.get("scope") == "Namespaced"
            yield Resource(spec.get("group", ""), version.get("name", ""), names["kind"], names["plural"], namespaced)


def from_discovery(document: dict[str, Any]) -> Iterable[Resource]:
    """Yield every kind in an aggregated discovery document (``APIGroupDiscoveryList``)."""
    for group in document.get("items") or ():
        for version in group.get("versions") or ():
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind")
                if kind:
                    name = (group.get("metadata") or {}).get("name", "")
                    namespaced = entry.get("scope") == "Namespaced"
                    yield Resource(name, version["version"], kind, entry["resource"], namespaced)
