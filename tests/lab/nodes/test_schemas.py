# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written for platforms that were not there to read it keeps to what their makers publish about the formats.

Their Go modules hold a JSON schema (Talos), definitions of custom resources (OpenShift, EKS) and the messages of an API
(GKE). For Bottlerocket, AKS and MicroK8s there is none.
"""

from __future__ import annotations

import email
import json
import re
import typing as t
from pathlib import Path

import jsonschema
import pytest
import yaml

from ansible_collections.homeport.registry.plugins.filter.node_documents import node_documents
from tests.lab.modules.authority import Authority
from tests.lab.published import published

Schema = dict[str, t.Any]
TALOS = "github.com/siderolabs/talos/pkg/machinery@v1.12.1"
OPENSHIFT = "github.com/openshift/api@v0.0.0-20251020135558-286504b695bc"
EKS = "github.com/awslabs/amazon-eks-ami/nodeadm@v0.0.0-20240229193347-cfab22a10647"
GKE = "cloud.google.com/go/container@v1.56.1"
SECRET = "projects/p/secrets/s/versions/1"


def closed(schema: t.Any) -> t.Any:
    """Return a schema that admits no key that it does not name, as servers do that are asked to be strict."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict) and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found


def resource(path: Path) -> dict[str, Schema]:
    """Return the schema of a custom resource by its kind."""
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    (version,) = definition["versions"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    # Every object has these, and the definition names them without saying what is in them.
    schema["properties"]["metadata"] = {"type": "object"}
    return {definition["names"]["kind"]: schema}


@pytest.fixture
def documents(tmp_path: Path) -> t.Callable[..., str]:
    """Return a function from a platform to its document, with everything in it that the platform can do."""
    ca = Authority(tmp_path).ca_file.read_text()
    registries: list[dict[str, t.Any]] = [
        {"name": "registry.example.com:5000", "ca_certificates": [ca], "address": "192.0.2.1"},
        {"name": "other.example.com", "ca_certificates": [ca]},
    ]
    cache: dict[str, t.Any] = {"upstream": "docker.io", "name": "cache.example.com", "ca_certificates": [ca]}
    other = {"upstream": "quay.io", "name": "cache.example.com:8443", "fallback": False}

    def documents(platform: str, prefix: str = "", **options: str) -> str:
        mirrors = [{**cache, "prefix": prefix} if prefix else cache, other]
        (text,) = node_documents(registries, platform, mirrors, **options).values()
        return str(text)

    return documents


def refuses(schema: Schema, document: t.Any) -> bool:
    """Tell whether a schema refuses a document."""
    return bool(list(jsonschema.Draft202012Validator(schema).iter_errors(document)))


@pytest.mark.parametrize("prefix", ["", "docker.io"])
def test_talos_by_its_json_schema(documents, prefix):
    folder = published(TALOS) / "config" / "schemas"
    whole = json.loads((folder / "config.schema.json").read_text(encoding="utf-8"))
    for document in yaml.safe_load_all(documents("talos", prefix)):
        jsonschema.Draft202012Validator(whole).validate(document)
        assert refuses(whole, {**document, "unheard": 1})


@pytest.mark.parametrize("prefix", ["", "docker.io"])
def test_openshift_by_its_custom_resources(documents, prefix):
    folder = published(OPENSHIFT) / "config" / "v1" / "zz_generated.crd-manifests"
    files = ("images-Default", "imagedigestmirrorsets", "imagetagmirrorsets")
    known: dict[str, Schema] = {}
    for name in files:
        known.update(resource(folder / f"0000_10_config-operator_01_{name}.crd.yaml"))
    config, *others = yaml.safe_load_all(documents("openshift", prefix))
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in config["data"])
    assert {one["kind"] for one in others} == set(known)
    for document in others:
        jsonschema.Draft202012Validator(known[document["kind"]]).validate(document)
        assert refuses(known[document["kind"]], {**document, "spec": {**document["spec"], "unheard": 1}})


@pytest.mark.parametrize("prefix", ["", "docker.io"])
def test_eks_by_its_custom_resource(documents, prefix):
    (schema,) = resource(published(EKS) / "crds" / "node.eks.aws_nodeconfigs.yaml").values()
    message: t.Any = email.message_from_string(documents("eks", prefix))
    _files, part = message.get_payload()
    document = yaml.safe_load(part.get_payload())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert refuses(schema, {**document, "spec": {"containerd": {"configuration": ""}}})


FIELD = re.compile(r"^\t\w+ +(?P<type>\S+) +`protobuf:\"[^\"]*name=(?P<name>\w+)", re.MULTILINE)


def unheard_of(kind: str, document: t.Any, source: str, where: str = "") -> list[str]:
    """Return the keys of a document that a message of the Go source does not have, underscores and case apart."""
    if isinstance(document, list):
        return [key for one in document for key in unheard_of(kind, one, source, where)]
    if not isinstance(document, dict):
        return []
    body = source.partition(f"\ntype {kind} struct {{\n")[2].partition("\n}\n")[0]
    # In Go, of several fields that exclude each other every one has a structure of its own.
    body += "".join(re.findall(rf"\ntype {kind}_\w+ struct {{(\n[^}}]*,oneof\"[^}}]*\n)}}", source))
    fields = {match["name"].replace("_", ""): match["type"].lstrip("[]*") for match in FIELD.finditer(body)}
    found = []
    for key, value in document.items():
        inner = fields.get(key.lower())
        found += unheard_of(inner, value, source, f"{where}{key}.") if inner else [f"{where}{key}"]
    return found


def test_gke_by_the_messages_of_its_api(documents):
    path = published(GKE) / "apiv1" / "containerpb" / "cluster_service.pb.go"
    source = path.read_text(encoding="utf-8")
    document = yaml.safe_load(documents("gke", gke_ca=SECRET))
    assert unheard_of("ContainerdConfig", document, source) == []
    document["registryHosts"][0]["hosts"][0]["unheard"] = 1
    assert unheard_of("ContainerdConfig", document, source) == ["registryHosts.hosts.unheard"]
    known = set(re.findall(r'"(HOST_CAPABILITY_\w+)"', source))
    assert set(document["registryHosts"][0]["hosts"][0]["capabilities"]) <= known
