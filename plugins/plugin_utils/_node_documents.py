# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Trust and mirrors as documents of platforms whose nodes nobody logs in to. Private."""

from __future__ import annotations

import base64
import typing as t
from collections.abc import Callable, Sequence

import yaml

from ansible_collections.homeport.registry.plugins.module_utils import _node_directory as directory
from ansible_collections.homeport.registry.plugins.module_utils import _node_pem as pem
from ansible_collections.homeport.registry.plugins.module_utils._node_containerd import DEFAULT_ROOT, with_root
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_plan import Wish
from ansible_collections.homeport.registry.plugins.module_utils._node_probe import split_host
from ansible_collections.homeport.registry.plugins.module_utils._node_toml import quote

MICROK8S_ROOT = "/var/snap/microk8s/current/args/certs.d"
# The oldest version with what is written here; its hosts.toml is understood by every later one.
_OLDEST = (1, 6, 0)
Wishes = Sequence[Wish]


class _Dumper(yaml.SafeDumper):
    """YAML that people read: texts of several lines as such, nothing abbreviated."""

    def ignore_aliases(self, _data: t.Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


# Ansible hands over texts of its own kinds.
_Dumper.add_multi_representer(str, _text)
_Dumper.add_representer(str, _text)


def _yaml(*documents: t.Any) -> str:
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=120)


def _registries(wishes: Wishes) -> list[Wish]:
    return [wish for wish in wishes if not wish.mirror_of]


def _mirrors(wishes: Wishes) -> list[Wish]:
    return [wish for wish in wishes if wish.mirror_of]


def _url(wish: Wish) -> str:
    return f"{'http' if wish.plain_http else 'https'}://{wish.name}"


def _talos(wishes: Wishes) -> dict[str, str]:
    documents: list[dict[str, t.Any]] = []
    head = {"apiVersion": "v1alpha1"}
    for name, text in {wish.name: wish.ca_text for wish in wishes if wish.ca_text}.items():
        documents.append({**head, "kind": "RegistryTLSConfig", "name": name, "ca": text})
    for wish in wishes:
        if wish.mirror_of or wish.plain_http:
            # A registry without TLS is a mirror of itself.
            names = [wish.mirror_of] if wish.mirror_of else list(wish.folders)
            for name in names:
                about: dict[str, t.Any] = {"endpoints": [{"url": _url(wish)}]}
                if wish.prefix:
                    about["endpoints"] = [{"url": f"{_url(wish)}/v2/{wish.prefix}", "overridePath": True}]
                if not wish.fallback or not wish.mirror_of:
                    about["skipFallback"] = True
                documents.append({**head, "kind": "RegistryMirrorConfig", "name": name, **about})
        elif wish.insecure:
            documents.append({**head, "kind": "RegistryTLSConfig", "name": wish.name, "insecureSkipVerify": True})
        if wish.address:
            host = split_host(wish.name)[0]
            documents.append({**head, "kind": "StaticHostConfig", "name": wish.address, "hostnames": [host]})
    return {"talos.yaml": _yaml(*documents)}


def _openshift(wishes: Wishes) -> dict[str, str]:
    # A key of a ConfigMap has no colon; OpenShift reads two dots as one.
    data = {folder.replace(":", ".."): wish.ca_text for wish in wishes if wish.ca_text for folder in _names(wish)}
    name = "homeport-registry-ca"
    documents: list[dict[str, t.Any]] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "openshift-config"},
            "data": data,
        },
        {
            "apiVersion": "config.openshift.io/v1",
            "kind": "Image",
            "metadata": {"name": "cluster"},
            "spec": {"additionalTrustedCA": {"name": name}},
        },
    ]
    mirrors = [
        {
            "source": wish.mirror_of,
            "mirrors": [f"{wish.name}/{wish.prefix}" if wish.prefix else wish.name],
            "mirrorSourcePolicy": "AllowContactingSource" if wish.fallback else "NeverContactSource",
        }
        for wish in _mirrors(wishes)
    ]
    for kind, key in (("ImageDigestMirrorSet", "imageDigestMirrors"), ("ImageTagMirrorSet", "imageTagMirrors")):
        if mirrors:
            documents.append(
                {
                    "apiVersion": "config.openshift.io/v1",
                    "kind": kind,
                    "metadata": {"name": "homeport-registry"},
                    "spec": {key: mirrors},
                }
            )
    return {"openshift.yaml": _yaml(*documents)}


def _names(wish: Wish) -> tuple[str, ...]:
    return (wish.name,) if wish.mirror_of else wish.folders


def _files(wishes: Wishes, root: str) -> list[dict[str, str]]:
    found: dict[str, str] = {}
    for wish in wishes:
        for folder in wish.folders:
            if wish.mirror_of:
                mirror = directory.Mirror(folder, _url(wish), wish.ca_text, wish.fallback, wish.prefix)
                found.update(directory.mirror_files(mirror, root, "containerd", _OLDEST))
            else:
                trust = directory.Trust(folder, wish.ca_text, wish.plain_http, wish.insecure)
                found.update(directory.trust_files(trust, root, "containerd"))
    return [
        {"path": path, "content": text, "owner": "root:root", "permissions": "0644"} for path, text in found.items()
    ]


def _cloud_config(files: list[dict[str, str]]) -> str:
    return "#cloud-config\n" + _yaml({"write_files": files}).removeprefix("---\n")


def _k0s(wishes: Wishes) -> dict[str, str]:
    # k0s reads these by itself. A file of version 2 would keep releases since 1.36 from starting.
    drop_in = with_root("version = 3\n", "homeport.toml", (2, 0, 0), DEFAULT_ROOT)
    more = {"path": "/etc/k0s/containerd.d/homeport.toml", "content": drop_in, "owner": "root:root"}
    return {"k0s.yaml": _cloud_config([*_files(wishes, DEFAULT_ROOT), {**more, "permissions": "0644"}])}


def _microk8s(wishes: Wishes) -> dict[str, str]:
    return {"microk8s.yaml": _cloud_config(_files(wishes, MICROK8S_ROOT))}


def _eks(wishes: Wishes) -> dict[str, str]:
    # nodeadm's own value is a list of two directories, which containerd 2.1 and newer reads as one name.
    config = with_root("version = 3\n", "nodeadm", (2, 0, 0), DEFAULT_ROOT).partition("\n\n")[2]
    node = {"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": {"containerd": {"config": config}}}
    line = "==HOMEPORT=="
    parts = [
        ("text/cloud-config", _cloud_config(_files(wishes, DEFAULT_ROOT))),
        ("application/node.eks.aws", _yaml(node)),
    ]
    body = "".join(f"--{line}\nContent-Type: {kind}\n\n{text}\n" for kind, text in parts)
    head = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{line}"\n\n'
    return {"eks-user-data.txt": f"{head}{body}--{line}--\n"}


def _bottlerocket(wishes: Wishes) -> dict[str, str]:
    text = pem.bundle_text({one.sha256: one for wish in wishes for one in wish.authorities}.values())
    lines = (
        ["[settings.pki.homeport-registry]", f"data = {quote(base64.b64encode(text.encode()).decode())}"]
        if text
        else []
    )
    lines += ["trusted = true"] if text else []
    for wish in _mirrors(wishes):
        if not wish.fallback:
            raise _impossible("bottlerocket", wish.mirror_of, "always asks the upstream when a mirror fails")
        if wish.prefix:
            raise _impossible("bottlerocket", wish.mirror_of, "has mirrors without a prefix only")
        lines += ["", "[[settings.container-registry.mirrors]]", f"registry = {quote(wish.mirror_of)}"]
        lines.append(f"endpoint = [{quote(_url(wish))}]")
    return {"bottlerocket.toml": "\n".join(lines).lstrip("\n") + "\n"}


def _aks(wishes: Wishes) -> dict[str, str]:
    for wish in _mirrors(wishes):
        raise _impossible("aks", wish.mirror_of, "takes CA certificates and no mirrors")
    authorities = {one.sha256: one for wish in wishes for one in wish.authorities}
    if len(authorities) > 10:
        raise _impossible("aks", wishes[0].name, f"takes ten certificates, and these are {len(authorities)}")
    return {"aks-ca-trust.crt": pem.bundle_text(authorities.values())}


def _gke(wishes: Wishes, secret: str) -> dict[str, str]:
    trusted = [name for wish in wishes if wish.ca_text for name in _names(wish)]
    if trusted and not secret:
        raise NodeError(
            "render the document for gke",
            where="registry_node_trust_gke_ca",
            got="it is empty, and GKE reads CA certificates from Secret Manager only",
            remedy="Keep the CA there and give its name, projects/P/secrets/S/versions/V.",
        )
    certificate = {"gcpSecretManagerCertificateConfig": {"secretURI": secret}}
    access = {"certificateAuthorityDomainConfig": [{**certificate, "fqdns": list(dict.fromkeys(trusted))}]}
    document: dict[str, t.Any] = {"privateRegistryAccessConfig": {"enabled": True, **access}} if trusted else {}
    hosts = []
    for wish in _mirrors(wishes):
        if wish.prefix:
            raise _impossible("gke", wish.mirror_of, "was not tried with the prefix of a mirror")
        server = directory.server_of(wish.mirror_of) if wish.fallback else _url(wish)
        host: dict[str, t.Any] = {
            "host": _url(wish),
            "capabilities": ["HOST_CAPABILITY_PULL", "HOST_CAPABILITY_RESOLVE"],
        }
        if wish.ca_text:
            host["ca"] = [{"gcpSecretManagerSecretUri": secret}]
        hosts.append({"server": server, "hosts": [host]})
    if hosts:
        document["registryHosts"] = hosts
    return {"gke.yaml": _yaml(document)}


def _impossible(platform: str, where: str, got: str) -> NodeError:
    return NodeError(
        f"render the document for {platform}",
        where=where,
        got=f"{platform} {got}",
        remedy="Leave it out for this platform.",
    )


def _plain(wishes: Wishes) -> dict[str, str]:
    return {one["path"].lstrip("/"): one["content"] for one in _files(wishes, "/")}


_MAKERS: dict[str, Callable[[Wishes], dict[str, str]]] = {
    "talos": _talos,
    "openshift": _openshift,
    "eks": _eks,
    "bottlerocket": _bottlerocket,
    "aks": _aks,
    "k0s": _k0s,
    "microk8s": _microk8s,
    "files": _plain,
}
PLATFORMS = (*_MAKERS, "gke")


def render(wishes: Wishes, platform: str, gke_ca: str = "") -> dict[str, str]:
    """Return the documents of a platform by file name.

    Raises:
        NodeError: for what the platform cannot do.
    """
    present = [wish for wish in wishes if wish.present]
    if not present:
        raise NodeError(
            f"render the document for {platform}",
            where="registries and mirrors",
            got="there is nothing to write",
            remedy="Name at least one that is present.",
        )
    if platform == "gke":
        return _gke(present, gke_ca)
    return _MAKERS[platform](present)
