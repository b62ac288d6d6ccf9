# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the choice of a store becomes, and what does not fit together.

Azure and Google do not run in the lab: of these nothing else is tested.
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
from tests.unit.roles.store_cases import CASES

ROLES = ("registry", "registry_auth", "registry_storage", "registry_server")
Shown = dict[str, t.Any]


def render(folder: Path) -> dict[str, Shown | str]:
    """Run every case in one play; return, by case, its objects, or why it is refused."""
    found = [installed() / "roles" / name for name in ROLES]
    defaults: dict[str, t.Any] = {"ansible_connection": "local", "registry_auth_users": []}
    for role in found:
        defaults.update(load((role / "defaults" / "main.yml").read_text(encoding="utf-8")))
    objects = ("Lease/registry-exclusive", "Deployment/registry", "Deployment/registry-writer", "Job/registry-proof-a")
    more = (
        "Job/registry-proof-b",
        "Job/registry-proof-c",
        "PersistentVolumeClaim/registry-data",
        "Secret/registry-store",
    )
    live = {**dict.fromkeys((*objects, *more)), "Secret/bucket": {"data": {"AWS_ACCESS_KEY_ID": "QUs="}}}
    hosts = {name: {"registry_host": "r.example", "live": live, **given} for name, (given, _words) in CASES.items()}
    templates = [("registry_storage", "storage"), ("registry_storage", "proof"), ("registry_server", "server")]
    paths = [str(installed() / "roles" / role / "templates" / f"{name}.yml.j2") for role, name in templates]
    problems = (
        "(__registry_storage_problems + __registry_server_problems) | selectattr('found') | map(attribute='text')"
    )
    say = {"ansible.builtin.debug": {"msg": f"{{{{ {problems} | join(' ') }}}}"}}
    show = [
        {
            "ansible.builtin.debug": {"msg": f"{{{{ lookup('ansible.builtin.template', '{path}') }}}}"},
            "when": [
                f"{problems} | list | length == 0",
                "registry_storage_driver != 'filesystem' or 'proof' not in path",
            ],
            "vars": {"path": path, "role_path": str(installed() / "roles" / "registry_storage")},
        }
        for path in paths
    ]
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(path) for role in found for path in sorted((role / "vars").rglob("*.yml"))],
        "tasks": [say, *show],
    }
    inventory = {"all": {"vars": defaults, "hosts": hosts}}
    for name, content in (("play.yml", [play]), ("inventory.yml", inventory)):
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
    command = ["ansible-playbook", "-i", "inventory.yml", "--forks", "4", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said, *shown = (task["hosts"] for task in json.loads(done.stdout[done.stdout.index("{\n") :])["plays"][0]["tasks"])
    return {
        name: said[name]["msg"]
        or {
            f"{document['kind']}/{document['metadata']['name']}": document
            for task in shown
            if not task[name].get("skipped")
            for document in yaml.safe_load_all(task[name]["msg"] or "")
            if document
        }
        for name in CASES
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown | str]:
    return render(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def of(results: dict[str, Shown | str]) -> Callable[[str], Shown]:
    def objects(case: str) -> Shown:
        found = results[case]
        assert isinstance(found, dict), found
        return found

    return objects


@pytest.fixture(scope="module")
def configs(of: Callable[[str], Shown]) -> Callable[[str], list[t.Any]]:
    """Return the configurations of reader and writer, and of the proof where there is one."""

    def parsed(case: str) -> list[t.Any]:
        found = of(case)
        texts = [found["ConfigMap/registry-config"]["data"][name] for name in ("reader.yml", "writer.yml")]
        proof = found.get("ConfigMap/registry-proof")
        return [yaml.safe_load(text) for text in [*texts, *([proof["data"]["config.yml"]] if proof else [])]]

    return parsed


@pytest.mark.parametrize("case", [name for name, (_given, words) in CASES.items() if words])
def test_what_does_not_fit_together_is_refused_in_words(results: dict[str, Shown | str], case: str) -> None:
    said = results[case]
    assert isinstance(said, str), "accepted"
    assert CASES[case][1] in said


@pytest.mark.parametrize("case", [name for name, (_given, words) in CASES.items() if not words])
def test_there_is_one_store_and_no_stray_volume(
    of: Callable[[str], Shown], configs: Callable[[str], list[t.Any]], case: str
) -> None:
    driver = CASES[case][0].get("registry_storage_driver", "filesystem")
    for config in configs(case):
        assert set(config["storage"]) - {"delete", "maintenance", "redirect"} == {driver}
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for name in ("Deployment/registry", "Deployment/registry-writer")
        for volume in of(case)[name]["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == (["registry-data"] * 2 if driver == "filesystem" else [])
    assert ("PersistentVolumeClaim/registry-data" in of(case)) == (driver == "filesystem")


def test_writers_remove_unfinished_uploads_and_readers_nothing(configs: Callable[[str], list[t.Any]]) -> None:
    """All four keys have to be there, or Distribution does not start."""
    reader, writer = (config["storage"]["maintenance"] for config in configs("default")[:2])
    assert writer == {"uploadpurging": {"enabled": True, "age": "24h", "interval": "6h", "dryrun": False}}
    assert reader["readonly"] == {"enabled": True}
    assert reader["uploadpurging"]["enabled"] is False
    assert set(reader["uploadpurging"]) == set(writer["uploadpurging"])


def section(**more: t.Any) -> dict[str, t.Any]:
    plain = {"bucket": "images", "region": "us-east-1", "rootdirectory": "registry/registry", "chunksize": 10485760}
    return {**plain, "forcepathstyle": False, **more}


@pytest.mark.parametrize(
    ("case", "driver", "expected"),
    [
        ("amazon_keys", "s3", section(region="eu-central-1")),
        ("amazon_role", "s3", section()),
        (
            "own_server",
            "s3",
            section(regionendpoint="https://s3.example.com:9000", forcepathstyle=True, rootdirectory=""),
        ),
        ("encrypted", "s3", section(encrypt=True, keyid="key", storageclass="STANDARD_IA", chunksize=20971520)),
        (
            "more_of_the_same",
            "s3",
            section(regionendpoint="https://s3.example.com:9000", forcepathstyle=True),
        ),
        (
            "azure_key",
            "azure",
            {
                "accountname": "acme",
                "container": "images",
                "realm": "core.windows.net",
                "rootdirectory": "registry/registry",
                "credentials": {"type": "shared_key"},
            },
        ),
        (
            "gcs_key",
            "gcs",
            {"bucket": "images", "rootdirectory": "registry/registry", "keyfile": "/etc/registry/store/keyfile.json"},
        ),
        ("gcs_identity", "gcs", {"bucket": "images", "rootdirectory": "registry/registry"}),
    ],
)
def test_the_driver_is_configured(
    configs: Callable[[str], list[t.Any]], case: str, driver: str, expected: dict[str, t.Any]
) -> None:
    own = {"accelerate": True} if case == "more_of_the_same" else {}
    reader, writer, proof = configs(case)
    assert reader["storage"][driver] == writer["storage"][driver] == {**expected, **own}
    assert proof["storage"][driver] == expected


@pytest.mark.parametrize(
    ("case", "redirect", "sends_files"),
    [("default", None, True), ("own_server", True, False), ("amazon_keys", None, False)],
)
def test_who_sends_a_layer(
    of: Callable[[str], Shown],
    configs: Callable[[str], list[t.Any]],
    case: str,
    redirect: bool | None,
    sends_files: bool,
) -> None:
    """The gate from a volume; the registry from an object store, or the store itself by choice."""
    for config in configs(case)[:2]:
        assert config["storage"].get("redirect", {}).get("disable") == redirect
    assert ("middleware" in configs(case)[0]) == sends_files
    gate = of(case)["ConfigMap/registry-gate"]["data"]["nginx.conf"]
    assert ("error_page 307" in gate) == ("location @blob" in gate) == ("root /var/lib/registry" in gate) == sends_files
    mounts = of(case)["Deployment/registry"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert any(mount["mountPath"] == "/var/lib/registry" for mount in mounts) == sends_files


@pytest.mark.parametrize(
    ("case", "secret", "keys"),
    [
        ("own_server", "registry-store", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        ("own_server_secret", "bucket", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        ("azure_key", "registry-store", ["AZURE_STORAGE_KEY"]),
        ("amazon_role", "", []),
        ("azure_identity", "", []),
        ("gcs_key", "registry-store", []),
    ],
)
def test_credentials_come_from_a_secret(of: Callable[[str], Shown], case: str, secret: str, keys: list[str]) -> None:
    """Nothing of them is in a configuration or in a literal of a pod."""
    objects = of(case)
    for name in ("Deployment/registry", "Deployment/registry-writer"):
        spec = objects[name]["spec"]["template"]["spec"]
        container = (spec.get("initContainers") or spec["containers"])[0]
        found = {
            entry["name"]: entry["valueFrom"]["secretKeyRef"]
            for entry in container["env"]
            if entry["name"].startswith("REGISTRY_STORAGE")
        }
        assert sorted(item["key"] for item in found.values()) == keys
        assert {item["name"] for item in found.values()} <= {secret}
    assert ("Secret/registry-store" in objects) == (secret == "registry-store")
    others = json.dumps([item for name, item in objects.items() if not name.startswith("Secret/")])
    for value in ("AK", "SK", "KEY", "service_account"):
        assert f'"{value}"' not in others


def test_an_own_authority_is_trusted_without_the_variable_that_breaks_2_8(of: Callable[[str], Shown]) -> None:
    objects = of("own_server")
    assert objects["ConfigMap/registry-store-ca"]["data"] == {"ca.crt": "PEM\n"}
    spec = objects["Deployment/registry-writer"]["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
    assert env["SSL_CERT_DIR"] == "/etc/registry/store-ca"
    assert "AWS_CA_BUNDLE" not in json.dumps(objects)
    assert {"name": "store-ca", "configMap": {"name": "registry-store-ca"}} in spec["volumes"]


@pytest.mark.parametrize(
    ("case", "ports"),
    [("own_server", [9000]), ("amazon_keys", [443]), ("own_server_secret", [9000]), ("default", None)],
)
def test_pods_may_connect_to_the_endpoint(of: Callable[[str], Shown], case: str, ports: list[int] | None) -> None:
    policy = of(case)["NetworkPolicy/registry-writer"]["spec"]
    assert "Egress" in policy["policyTypes"]
    found = [port["port"] for rule in policy.get("egress", []) for port in rule["ports"] if port["port"] != 53]
    assert found == (ports or [])
    if ports:
        assert policy["egress"] == of(case)["NetworkPolicy/registry-proof"]["spec"]["egress"]


def test_without_credentials_the_platform_may_be_asked_for_some(of: Callable[[str], Shown]) -> None:
    rules = of("amazon_role")["NetworkPolicy/registry-front"]["spec"]["egress"]
    blocks = [peer["ipBlock"]["cidr"] for rule in rules for peer in rule.get("to", []) if "ipBlock" in peer]
    assert blocks == ["169.254.169.254/32", "169.254.170.23/32"]
    for account in ("ServiceAccount/registry", "ServiceAccount/registry-proof"):
        assert of("amazon_role")[account]["metadata"]["annotations"] == {"eks.example/role": "arn"}


@pytest.mark.parametrize(
    ("case", "spread", "budgets", "scaled"),
    [
        ("default", False, set(), {}),
        ("one_node", False, set(), {"registry": (3, 5)}),
        ("many_nodes", True, {"registry", "registry-writer"}, {}),
        ("own_server", True, {"registry"}, {}),
        ("many_of_all", True, {"registry", "registry-writer"}, {"registry": (2, 6), "registry-writer": (2, 4)}),
    ],
)
def test_replicas_follow_the_matrix(
    of: Callable[[str], Shown], case: str, spread: bool, budgets: set[str], scaled: dict[str, tuple[int, int]]
) -> None:
    objects = of(case)
    for name in ("registry", "registry-writer"):
        spec = objects[f"Deployment/{name}"]["spec"]["template"]["spec"]
        # On different nodes if there are some, in different zones if there are some; or all on one.
        keys = [constraint["topologyKey"] for constraint in spec.get("topologySpreadConstraints", [])]
        assert keys == (["kubernetes.io/hostname"] if spread else [])
        assert list(spec["affinity"]) == ["podAntiAffinity" if spread else "podAffinity"]
    found = {
        item["metadata"]["name"]: item["spec"] for item in objects.values() if item["kind"] == "PodDisruptionBudget"
    }
    assert set(found) == budgets
    assert all(item["maxUnavailable"] == 1 for item in found.values())
    assert all(item["unhealthyPodEvictionPolicy"] == "AlwaysAllow" for item in found.values())
    scalers = {
        item["metadata"]["name"]: (item["spec"]["minReplicas"], item["spec"]["maxReplicas"])
        for item in objects.values()
        if item["kind"] == "HorizontalPodAutoscaler"
    }
    assert scalers == scaled
    wanted = CASES[case][0].get("registry_server_writer_replicas", 1)
    writer = objects["Deployment/registry-writer"]
    assert "replicas" not in writer["spec"]
    assert writer["metadata"]["annotations"]["registry.homeport.dev/writers"] == str(wanted)
