# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the choices of registry_ingress become, and which of them are refused with a reason.

HAProxy and the NGINX controllers do not run in the lab: of these nothing else is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.contract.collection import installed, load

ROUTED: dict[str, t.Any] = {"registry_ingress_exposure": "ingress", "registry_ingress_tls": "external"}
GATEWAY = {**ROUTED, "registry_ingress_exposure": "gateway", "registry_ingress_controller": "traefik"}
CASES: dict[str, dict[str, t.Any]] = {
    "traefik": {**ROUTED, "registry_ingress_controller": "traefik", "registry_ingress_class": "traefik"},
    "traefik_clear": {**ROUTED, "registry_ingress_controller": "traefik", "registry_ingress_tls": "none"},
    "haproxy": {**ROUTED, "registry_ingress_controller": "haproxy", "registry_ingress_timeout_seconds": 120},
    "f5_nginx": {**ROUTED, "registry_ingress_controller": "f5_nginx"},
    "ingress_nginx": {
        **ROUTED,
        "registry_ingress_controller": "ingress_nginx",
        "registry_ingress_annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "60", "own": "yes"},
    },
    "own_gateway": {
        **GATEWAY,
        "registry_ingress_tls": "cert_manager",
        "registry_ingress_issuer_name": "company",
        "registry_ingress_gateway_class": "traefik",
        "registry_ingress_gateway_port": 8443,
    },
    "shared_gateway": {
        **GATEWAY,
        "registry_ingress_gateway_name": "shared",
        "registry_ingress_gateway_namespace": "edge",
        "registry_ingress_gateway_listener": "https",
    },
    "load_balancer": {
        "registry_ingress_exposure": "load_balancer",
        "registry_ingress_tls": "cert_manager",
        "registry_ingress_issuer_name": "company",
        "registry_ingress_extra_names": ["192.0.2.7"],
        "registry_ingress_load_balancer_class": "example.com/internal",
        "registry_ingress_source_ranges": ["192.0.2.0/24"],
        "registry_ingress_traffic_policy": "Local",
        "registry_ingress_annotations": {"example.com/internal": "true"},
    },
    "node_port": {
        "registry_host": "registry.example.com:30443",
        "registry_ingress_exposure": "node_port",
        "registry_ingress_tls": "none",
    },
    "no_choice": {"registry_ingress_exposure": "node_port", "registry_host": "registry.example.com:30443"},
    "no_port": {"registry_ingress_exposure": "node_port", "registry_ingress_tls": "none"},
    "no_issuer": {"registry_ingress_tls": "cert_manager"},
    "no_key": {"registry_ingress_tls": "provided", "registry_ingress_certificate": "PEM"},
    "nobody_in_front": {"registry_ingress_tls": "external"},
    "renewed_at_once": {"registry_ingress_tls": "self_signed", "registry_ingress_renew_days": 365},
    "no_controller": ROUTED,
    "unknown_namespace": {**ROUTED, "registry_ingress_controller": "other"},
    "address": {**ROUTED, "registry_ingress_controller": "traefik", "registry_host": "192.0.2.7"},
    "no_gateway": GATEWAY,
    "two_gateways": {**GATEWAY, "registry_ingress_gateway_name": "shared", "registry_ingress_gateway_class": "traefik"},
    "own_gateway_without_certificate": {**GATEWAY, "registry_ingress_gateway_class": "traefik"},
}
Shown = dict[str, t.Any]


def render(folder: Path) -> dict[str, Shown | str]:
    """Run every case in one play; return, by case, its objects and whom the gate admits, or why it is refused."""
    found = [installed() / "roles" / name for name in ("registry", "registry_ingress")]
    defaults: dict[str, t.Any] = {"ansible_connection": "local"}
    for role in found:
        defaults.update(load((role / "defaults" / "main.yml").read_text(encoding="utf-8")))
    hosts = {name: {"registry_host": "registry.example.com", **settings} for name, settings in CASES.items()}
    templates = [found[1] / "templates" / name for name in ("tls", "exposure")]
    rendered = [f"{{{{ lookup('ansible.builtin.template', '{path}.yml.j2') }}}}" for path in templates]
    problems = "__registry_ingress_problems | selectattr('found') | map(attribute='text') | join(' ')"
    say = {"ansible.builtin.debug": {"msg": f"{{{{ {problems} }}}}"}}
    show = {
        "ansible.builtin.debug": {"msg": {"texts": rendered, "from": "{{ __registry_ingress_from }}"}},
        "when": f"({problems}) == ''",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(path) for role in found for path in (role / "vars").rglob("*.yml")],
        "tasks": [say, show],
    }
    inventory = {"all": {"vars": defaults, "hosts": hosts}}
    for name, content in (("play.yml", [play]), ("inventory.yml", inventory)):
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    command = ["ansible-playbook", "-i", "inventory.yml", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said, shown = (task["hosts"] for task in json.loads(done.stdout[done.stdout.index("{\n") :])["plays"][0]["tasks"])
    return {name: said[name]["msg"] or shown[name]["msg"] for name in CASES}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown | str]:
    return render(tmp_path_factory.mktemp("play"))


@pytest.fixture
def objects(results) -> Callable[[str], dict[str, t.Any]]:
    """Return a function from a case to its objects by kind."""

    def find(case: str) -> dict[str, t.Any]:
        assert isinstance(results[case], dict), results[case]
        documents = [item for text in results[case]["texts"] for item in yaml.safe_load_all(text or "")]
        return {item["kind"]: item for item in documents if item}

    return find


def test_a_traefik_ingress_is_bound_to_the_entry_point_with_tls(objects):
    found = objects("traefik")
    assert list(found) == ["Ingress"]
    assert found["Ingress"]["metadata"]["annotations"] == {
        "traefik.ingress.kubernetes.io/router.entrypoints": "websecure",
        "traefik.ingress.kubernetes.io/router.tls": "true",
    }
    rule = found["Ingress"]["spec"]["rules"][0]
    assert rule["host"] == "registry.example.com"
    assert rule["http"]["paths"] == [
        {
            "path": "/v2/",
            "pathType": "Prefix",
            "backend": {"service": {"name": "registry", "port": {"name": "http"}}},
        }
    ]
    # The controller's own certificate: no Secret of ours is named.
    assert found["Ingress"]["spec"]["tls"] == [{"hosts": ["registry.example.com"]}]
    assert found["Ingress"]["spec"]["ingressClassName"] == "traefik"


def test_traffic_in_the_clear_goes_to_the_other_entry_point(objects):
    ingress = objects("traefik_clear")["Ingress"]
    assert ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.entrypoints"] == "web"
    assert not {"tls", "ingressClassName"} & set(ingress["spec"])


@pytest.mark.parametrize(
    ("case", "annotations"),
    [
        ("haproxy", {"haproxy.org/timeout-server": "120s"}),
        (
            "f5_nginx",
            {
                "nginx.org/client-max-body-size": "0",
                "nginx.org/proxy-buffering": "False",
                "nginx.org/proxy-read-timeout": "900s",
                "nginx.org/proxy-send-timeout": "900s",
            },
        ),
        (
            "ingress_nginx",
            {
                "nginx.ingress.kubernetes.io/proxy-body-size": "0",
                "nginx.ingress.kubernetes.io/proxy-buffering": "off",
                "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
                "nginx.ingress.kubernetes.io/proxy-read-timeout": "60",
                "nginx.ingress.kubernetes.io/proxy-send-timeout": "900",
                "own": "yes",
            },
        ),
    ],
)
def test_a_preset_lifts_limits_of_size_and_time(objects, case, annotations):
    found = objects(case)["Ingress"]["metadata"]["annotations"]
    assert found == annotations
    # An annotation is a text; a number or a boolean is refused by the API server.
    assert {type(value) for value in found.values()} == {str}


@pytest.mark.parametrize(
    ("case", "namespace"),
    [
        ("traefik", "traefik"),
        ("haproxy", "haproxy-controller"),
        ("f5_nginx", "nginx-ingress"),
        ("ingress_nginx", "ingress-nginx"),
        ("shared_gateway", "traefik"),
    ],
)
def test_only_the_controller_is_admitted(results, case, namespace):
    assert results[case]["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]


@pytest.mark.parametrize("case", ["load_balancer", "node_port"])
def test_a_service_of_its_own_admits_everyone(results, case):
    assert results[case]["from"] == []


def test_a_gateway_of_its_own_serves_this_host_and_namespace_only(objects):
    found = objects("own_gateway")
    assert sorted(found) == ["Certificate", "Gateway", "HTTPRoute", "NetworkPolicy"]
    assert found["Gateway"]["spec"]["listeners"] == [
        {
            "name": "registry",
            "hostname": "registry.example.com",
            "port": 8443,
            "protocol": "HTTPS",
            "tls": {"mode": "Terminate", "certificateRefs": [{"name": "registry-tls-issued"}]},
            "allowedRoutes": {"namespaces": {"from": "Same"}},
        }
    ]
    assert found["HTTPRoute"]["spec"]["parentRefs"] == [{"name": "registry", "sectionName": "registry"}]
    assert found["HTTPRoute"]["spec"]["rules"][0]["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == {
        "acme.cert-manager.io/http01-solver": "true"
    }


def test_a_route_can_join_a_shared_gateway(objects):
    found = objects("shared_gateway")
    assert list(found) == ["HTTPRoute"]
    # Of a custom resource the API server drops an empty map, and the next run would bring it back.
    assert "annotations" not in found["HTTPRoute"]["metadata"]
    assert found["HTTPRoute"]["spec"]["parentRefs"] == [{"name": "shared", "namespace": "edge", "sectionName": "https"}]


def test_a_load_balancer_leads_to_the_tls_of_the_gate(objects):
    found = objects("load_balancer")
    assert sorted(found) == ["Certificate", "Service"]
    service = found["Service"]
    assert service["metadata"]["name"] == "registry-public"
    assert service["metadata"]["annotations"] == {"example.com/internal": "true"}
    assert service["spec"] == {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "loadBalancerClass": "example.com/internal",
        "loadBalancerSourceRanges": ["192.0.2.0/24"],
        "selector": {
            "app.kubernetes.io/name": "registry",
            "app.kubernetes.io/instance": "registry",
            "app.kubernetes.io/component": "front",
        },
        "ports": [{"name": "https", "port": 443, "targetPort": "gate-tls", "protocol": "TCP"}],
    }


def test_a_certificate_is_ordered_for_every_name_of_the_gate(objects):
    spec = objects("load_balancer")["Certificate"]["spec"]
    assert spec["dnsNames"] == ["registry.example.com", "registry.registry", "registry.registry.svc"]
    assert spec["ipAddresses"] == ["192.0.2.7"]
    assert spec["issuerRef"] == {"name": "company", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    # Behind a controller nobody calls the gate by the names of its Service, and a public issuer would refuse them.
    assert objects("own_gateway")["Certificate"]["spec"]["dnsNames"] == ["registry.example.com"]


def test_a_node_port_is_the_port_of_the_host(objects):
    assert objects("node_port")["Service"]["spec"]["ports"] == [
        {"name": "http", "port": 80, "targetPort": "gate", "protocol": "TCP", "nodePort": 30443}
    ]


@pytest.mark.parametrize(
    ("case", "saying"),
    [
        ("no_choice", "registry_ingress_exposure is node_port, and where the certificate comes from is not said."),
        ("no_issuer", "registry_ingress_tls is cert_manager, so set registry_ingress_issuer_name."),
        ("no_key", "so set registry_ingress_certificate and registry_ingress_private_key."),
        ("nobody_in_front", "with the exposure none nothing in front of the registry ends TLS."),
        ("renewed_at_once", "registry_ingress_renew_days (365) must be at least 1 and below"),
        ("no_port", "needs its port in registry_host (registry.example.com), as clients use it, or in"),
        ("no_controller", "Set registry_ingress_controller, and for other also"),
        ("unknown_namespace", "Set registry_ingress_controller, and for other also"),
        ("address", "goes by host name, and registry_host (192.0.2.7) is an address."),
        ("no_gateway", "Set either registry_ingress_gateway_name, for a Gateway that exists, or"),
        ("two_gateways", "Set either registry_ingress_gateway_name, for a Gateway that exists, or"),
        ("own_gateway_without_certificate", "a Gateway that is made here"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(results, case, saying):
    assert isinstance(results[case], str), results[case]
    assert saying in results[case]
