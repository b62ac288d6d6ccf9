# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of managed platforms say what was asked for, in each platform's own words."""

from __future__ import annotations

import base64
import email
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.node_documents import node_documents
from ansible_collections.homeport.registry.plugins.module_utils._node_toml import Document
from tests.lab.modules.authority import Authority

NAME = "registry.example.com:5000"
SECRET = "projects/p/secrets/s/versions/1"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca")).ca_file.read_text()


@pytest.fixture
def documents(ca):
    registries = [{"name": NAME, "ca_certificates": [ca], "address": "192.0.2.1"}]
    mirrors = [
        {"upstream": "docker.io", "name": "cache.example.com", "ca_certificates": [ca]},
        {"upstream": "quay.io", "name": "cache.example.com", "fallback": False},
    ]

    def documents(platform, mirrors=mirrors, registries=registries, **more):
        (text,) = node_documents(registries, platform, mirrors, **more).values()
        return text

    return documents


def test_talos(documents, ca):
    found = list(yaml.safe_load_all(documents("talos")))
    assert {one["apiVersion"] for one in found} == {"v1alpha1"}
    tls = {one["name"]: one["ca"] for one in found if one["kind"] == "RegistryTLSConfig"}
    assert tls == {NAME: ca, "cache.example.com": ca}
    mirrors = {one["name"]: one for one in found if one["kind"] == "RegistryMirrorConfig"}
    assert mirrors["docker.io"]["endpoints"] == [{"url": "https://cache.example.com"}]
    assert "skipFallback" not in mirrors["docker.io"]
    assert mirrors["quay.io"]["skipFallback"] is True
    (host,) = (one for one in found if one["kind"] == "StaticHostConfig")
    assert (host["name"], host["hostnames"]) == ("192.0.2.1", ["registry.example.com"])


def test_talos_does_not_verify_only_where_it_was_asked_not_to(documents):
    (found,) = yaml.safe_load_all(documents("talos", [], [{"name": NAME, "insecure": True}]))
    assert found == {"apiVersion": "v1alpha1", "kind": "RegistryTLSConfig", "name": NAME, "insecureSkipVerify": True}


def test_openshift(documents, ca):
    config, image, digests, tags = yaml.safe_load_all(documents("openshift"))
    assert config["data"] == {"registry.example.com..5000": ca, "cache.example.com": ca}
    assert image["spec"]["additionalTrustedCA"]["name"] == config["metadata"]["name"]
    assert config["metadata"]["namespace"] == "openshift-config"
    policies = [one["mirrorSourcePolicy"] for one in digests["spec"]["imageDigestMirrors"]]
    assert policies == ["AllowContactingSource", "NeverContactSource"]
    assert tags["spec"]["imageTagMirrors"] == digests["spec"]["imageDigestMirrors"]


def cloud_config(text):
    assert text.startswith("#cloud-config\n")
    files = yaml.safe_load(text)["write_files"]
    assert {(one["owner"], one["permissions"]) for one in files} == {("root:root", "0644")}
    return {one["path"]: one["content"] for one in files}


def test_eks(documents, ca):
    message: t.Any = email.message_from_string(documents("eks"))
    files, node = message.get_payload()
    written = cloud_config(files.get_payload())
    assert written[f"/etc/containerd/certs.d/{NAME}/ca.crt"] == ca
    assert node.get_content_type() == "application/node.eks.aws"
    config = yaml.safe_load(node.get_payload())["spec"]["containerd"]["config"]
    table = ("plugins", "io.containerd.cri.v1.images", "registry", "config_path")
    assert Document(config, "x").get(*table) == "/etc/containerd/certs.d"


def test_k0s(documents):
    written = cloud_config(documents("k0s"))
    drop_in = Document(written["/etc/k0s/containerd.d/homeport.toml"], "x")
    assert drop_in.get("version") == 3
    assert "io.containerd.grpc.v1.cri" not in written["/etc/k0s/containerd.d/homeport.toml"]
    assert (
        Document(written["/etc/containerd/certs.d/quay.io/hosts.toml"], "x").get("server")
        == "https://cache.example.com"
    )


def test_microk8s(documents, ca):
    written = cloud_config(documents("microk8s"))
    assert written[f"/var/snap/microk8s/current/args/certs.d/{NAME}/ca.crt"] == ca


def test_files(ca):
    found = node_documents([{"name": NAME, "ca_certificates": [ca], "aliases": ["other.example.com"]}], "files")
    assert found == {f"{NAME}/ca.crt": ca, "other.example.com/ca.crt": ca}


def test_bottlerocket(documents, ca):
    mirrors = [{"upstream": "docker.io", "name": "cache.example.com"}]
    settings = Document(documents("bottlerocket", mirrors), "x")
    pki = settings.get("settings", "pki", "homeport-registry")
    assert base64.b64decode(pki["data"]).decode() == ca
    assert pki["trusted"] is True
    mirror = settings.get("settings", "container-registry", "mirrors", "0")
    assert mirror == {"registry": "docker.io", "endpoint": ["https://cache.example.com"]}


def test_aks(documents, ca):
    assert documents("aks", []) == ca


def test_gke(documents):
    found = yaml.safe_load(documents("gke", gke_ca=SECRET))
    (domain,) = found["privateRegistryAccessConfig"]["certificateAuthorityDomainConfig"]
    assert domain["fqdns"] == [NAME, "cache.example.com"]
    assert domain["gcpSecretManagerCertificateConfig"]["secretURI"] == SECRET
    first, second = found["registryHosts"]
    assert (first["server"], second["server"]) == ("https://registry-1.docker.io", "https://cache.example.com")
    assert first["hosts"][0]["ca"] == [{"gcpSecretManagerSecretUri": SECRET}]
    assert "ca" not in second["hosts"][0]


@pytest.mark.parametrize(
    ("platform", "saying"),
    [
        ("bottlerocket", "always asks the upstream"),
        ("aks", "no mirrors"),
        ("gke", "Secret Manager only"),
        ("nowhere", "is not one of talos"),
    ],
)
def test_what_a_platform_cannot_do_is_said(documents, platform, saying):
    with pytest.raises(AnsibleFilterError, match=saying):
        documents(platform)


def test_aks_takes_ten_certificates(documents, tmp_path):
    texts = []
    for number in range(11):
        (tmp_path / str(number)).mkdir()
        texts.append(Authority(tmp_path / str(number)).ca_file.read_text())
    with pytest.raises(AnsibleFilterError, match="takes ten certificates"):
        documents("aks", [], [{"name": NAME, "ca_certificates": texts}])


@pytest.mark.parametrize(
    ("registries", "saying"),
    [
        ([{"name": "_default"}], "every image of the node"),
        ([{"nam": NAME}], "nam"),
        ([{"name": NAME, "ca_certificates": ["text"]}], "no certificate in PEM form"),
    ],
)
def test_wrong_input_is_refused_as_on_nodes(documents, registries, saying):
    with pytest.raises(AnsibleFilterError, match=saying):
        documents("talos", [], registries)


def test_what_is_absent_is_not_written(documents):
    with pytest.raises(AnsibleFilterError, match="nothing to write"):
        documents("talos", [], [{"name": NAME, "state": "absent"}])


def test_the_prefix_of_a_mirror_is_in_every_document_that_can_have_one(documents):
    mirrors = [{"upstream": "docker.io", "name": "cache.example.com", "prefix": "docker.io", "fallback": False}]
    found = documents("talos", mirrors)
    assert "url: https://cache.example.com/v2/docker.io" in found
    assert "overridePath: true" in found
    assert "- cache.example.com/docker.io" in documents("openshift", mirrors)
    for platform in ("bottlerocket", "gke"):
        with pytest.raises(AnsibleFilterError, match="prefix"):
            documents(platform, [{**mirrors[0], "fallback": True}], gke_ca="projects/p/secrets/s/versions/1")
