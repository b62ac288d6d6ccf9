# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""The task as users write it, in a real playbook: templates, variables, check, diff, other hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.apply.harness import Kubectl, Playbook
from tests.lab.apply.objects import actions, config_map

TEMPLATE = """\
{% for number in range(count) %}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: config-{{ number }}
data:
  text: "{{ text }}"
{% endfor %}
---
# nothing but a comment
---
{% if secret_wanted | default(true) %}
apiVersion: v1
kind: Secret
metadata:
  name: generated
data:
  value: {{ (live['Secret/generated'] or {}).data.value | default('first' | b64encode) }}
{% endif %}
"""
LIVE = [{"kind": "Secret", "name": "generated"}]
VARIABLES = {"count": 2, "text": "hello"}

# the same task in the controller, and by the module with a connection that is not local
WAYS: dict[str, dict[str, Any]] = {"here": {}, "become": {"become": True}, "there": {"delegate_to": "elsewhere"}}


@pytest.fixture(params=WAYS, ids=list(WAYS))
def keywords(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run a test in the controller and by the module."""
    return {"vars": VARIABLES, **WAYS[request.param]}


def test_templates_live_check_diff_and_repeat(playbook: Playbook, kubectl: Kubectl, keywords: dict[str, Any]) -> None:
    options: dict[str, Any] = {"templates": [playbook.template("a.yml.j2", TEMPLATE)], "live": LIVE, "record": "record"}
    told = playbook("--check", "--diff", keywords=keywords, **options)
    assert told["changed"], told["output"]
    assert kubectl.get("secret", "generated") is None
    done = playbook("--diff", keywords=keywords, **options)
    assert actions(done) == {
        "ConfigMap/config-0": "created",
        "ConfigMap/config-1": "created",
        "Secret/generated": "created",
    }
    assert told["objects"] == done["objects"]
    assert "+  text: hello" in done["output"]
    assert "+  value: (hidden)" in done["output"]
    kubectl("patch", "secret", "generated", "--type=merge", '--patch={"data":{"value":"a2VwdA=="}}')
    # somebody changed the password: the template keeps what is there
    again = playbook(keywords=keywords, **options)
    assert actions(again)["Secret/generated"] == "unchanged", again["output"]
    assert (kubectl.get("secret", "generated") or {})["data"] == {"value": "a2VwdA=="}
    fewer = playbook(keywords={**keywords, "vars": {**VARIABLES, "count": 1}}, **options)
    assert actions(fewer)["ConfigMap/config-1"] == "pruned"
    gone = playbook(keywords=keywords, **options, state="absent")
    assert set(actions(gone).values()) == {"deleted", "absent"}


def test_secrets_stay_out_of_the_output(playbook: Playbook, keywords: dict[str, Any]) -> None:
    word = "correct-horse-battery"
    text = "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: '{{ word }}'}}\n"
    templates = [playbook.template("s.yml.j2", text)]
    variables = {**keywords, "vars": {"word": word}}
    for name in ("created", "unchanged"):
        result = playbook("-vvv", "--diff", keywords=variables, templates=templates)
        assert actions(result) == {"Secret/s": name}
        assert word not in result["output"]
        assert word not in json.dumps(result)
    broken = {**keywords, "vars": {"word": "'" + word}}
    result = playbook("-vvv", "--diff", keywords=broken, templates=templates)
    assert result["failed"]
    assert word not in result["output"]


def test_failure_says_how_far_it_got(playbook: Playbook, keywords: dict[str, Any]) -> None:
    result = playbook(keywords=keywords, definitions=[config_map("good"), {**config_map("bad"), "nonsense": 1}])
    assert result["failed"]
    assert "unknown field nonsense" in result["msg"]
    assert actions(result) == {"ConfigMap/good": "created", "ConfigMap/bad": "failed"}
    assert result["changed"]


def test_live_text_is_never_a_template(playbook: Playbook, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "source", "--from-literal=text={{ 7 * 6 }}")
    text = """
apiVersion: v1
kind: ConfigMap
metadata: {name: copy}
data:
  text: "{{ live['ConfigMap/source'].data.text }}"
"""
    result = playbook(templates=playbook.template("c.yml.j2", text), live=[{"kind": "ConfigMap", "name": "source"}])
    assert actions(result) == {"ConfigMap/copy": "created"}, result["output"]
    assert (kubectl.get("configmap", "copy") or {})["data"]["text"] == "{{ 7 * 6 }}"


def test_template_that_is_one_expression(playbook: Playbook) -> None:
    template = playbook.template("o.yml.j2", "{{ wanted }}")
    result = playbook(keywords={"vars": {"wanted": config_map("from-variable")}}, templates=[template])
    assert actions(result) == {"ConfigMap/from-variable": "created"}, result["output"]


def test_templates_of_a_role_and_includes(playbook: Playbook) -> None:
    role = playbook.directory / "roles" / "thing"
    (role / "templates" / "parts").mkdir(parents=True)
    (role / "tasks").mkdir()
    (role / "templates" / "main.yml.j2").write_text("{% include 'parts/labels.j2' %}\n")
    (role / "templates" / "parts" / "labels.j2").write_text(json.dumps(config_map("from-role")))
    task = {"name": "Apply", "homeport.registry.apply": {**playbook.defaults, "templates": ["main.yml.j2"]}}
    (role / "tasks" / "main.yml").write_text(yaml.safe_dump([task]))
    result = playbook(play={"roles": ["thing"], "tasks": []})
    assert actions(result) == {"ConfigMap/from-role": "created"}, result["output"]


@pytest.mark.parametrize("variable", ["K8S_AUTH_KUBECONFIG", "KUBECONFIG"])
def test_environment_of_the_task(playbook: Playbook, kubeconfig: Path, variable: str) -> None:
    result = playbook(
        keywords={"environment": {variable: str(kubeconfig)}},
        environ={"KUBECONFIG": "/nonexistent", "HOME": "/nonexistent"},
        kubeconfig=None,
        definitions=[config_map()],
    )
    assert actions(result) == {"ConfigMap/config": "created"}, result["output"]


def test_vaulted_and_relative_kubeconfig(playbook: Playbook, kubeconfig: Path) -> None:
    password = playbook.directory / "vault-password"
    password.write_text("vault-password\n")
    (playbook.directory / "files").mkdir()
    target = playbook.directory / "files" / "cluster.conf"
    target.write_text(kubeconfig.read_text())
    vault = Path(sys.executable).with_name("ansible-vault")
    subprocess.run([str(vault), "encrypt", f"--vault-password-file={password}", str(target)], check=True)
    result = playbook(f"--vault-password-file={password}", kubeconfig="cluster.conf", definitions=[config_map()])
    assert actions(result) == {"ConfigMap/config": "created"}, result["output"]


def test_kubeconfig_as_a_dictionary(playbook: Playbook, kubeconfig: Path, keywords: dict[str, Any]) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    result = playbook("-vvv", keywords=keywords, kubeconfig=config, definitions=[config_map()])
    assert actions(result) == {"ConfigMap/config": "created"}, result["output"]
    for user in config["users"]:
        assert user["user"]["client-key-data"][:60] not in json.dumps({**result, "output": ""})


def test_keys_are_not_left_in_temporary_files(playbook: Playbook, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    result = playbook(environ={"TMPDIR": str(scratch)}, definitions=[config_map()])
    assert result["changed"], result["output"]
    left = [path for path in scratch.rglob("*") if path.is_file()]
    assert [path for path in left if b"PRIVATE KEY" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n{% if %}\n", "template t.yml.j2, line 2: "),
        ("a: 1\n\nb: {{ 1 +* }}\n", "template t.yml.j2, line 3: "),
        ("a: 1\n\n{{ nothing_here }}\n", "template t.yml.j2, line 3: 'nothing_here' is undefined"),
        ("{% include 'missing.j2' %}", "template t.yml.j2, line 1: "),
        ("{{ 'x' | b64decode | int(base='q') }}", "template t.yml.j2"),
        ("a: 1\nb: c: d\n", "t.yml.j2: not YAML at line 2, column 5 of the rendered text, near b: mapping values"),
        ("a: 1\na: 2\n", "t.yml.j2: not YAML at line 2, column 1 of the rendered text, near a: a key appears twice"),
        ("[1]", "t.yml.j2: expected a Kubernetes object, found int"),
        ("kind: ConfigMap\nmetadata: {name: x}", "t.yml.j2: the object ConfigMap has no apiVersion"),
        ("apiVersion: v1\nmetadata: {name: x}", "t.yml.j2: the object has no kind"),
        ("{apiVersion: v1, kind: Secret, metadata: {}}", "t.yml.j2: the object Secret has no metadata.name"),
        ("{apiVersion: v1, kind: Secret}", "t.yml.j2: the object Secret has no metadata.name"),
    ],
)
def test_bad_templates(playbook: Playbook, text: str, message: str) -> None:
    result = playbook(templates=[playbook.template("t.yml.j2", text)])
    assert result["failed"]
    assert result["msg"].startswith(message), result["msg"]
    assert "\n" not in result["msg"].strip()
    assert "Traceback" not in result["output"]


def test_syntax_error_in_an_included_template(playbook: Playbook) -> None:
    playbook.template("part.j2", "fine\n{% endfor %}\n")
    result = playbook(templates=[playbook.template("t.yml.j2", "a: 1\n{% include 'part.j2' %}")])
    assert result["msg"].startswith("template t.yml.j2, in part.j2 line 2: "), result["msg"]


def test_missing_template(playbook: Playbook) -> None:
    result = playbook(templates=["nowhere.yml.j2"])
    assert "template nowhere.yml.j2: Could not find or access 'nowhere.yml.j2'" in result["msg"]


def test_same_object_twice(playbook: Playbook) -> None:
    one = playbook.template("one.yml.j2", json.dumps(config_map()))
    two = playbook.template("two.yml.j2", json.dumps(config_map()))
    result = playbook(templates=[one, two])
    assert result["msg"].endswith("/config is defined twice: in one.yml.j2 and in two.yml.j2")
    assert not result["changed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"definitions": [config_map()], "namespace": None}, "names no namespace"),
        ({"record": "r", "namespace": None}, "record needs a namespace to live in"),
        ({"definitions": [config_map()], "connections": 0}, "connections must be at least 1"),
        ({"definitions": [config_map()], "wait_timeout": "soon"}, "wait_timeout"),
        ({"definitions": [config_map()], "nonsense": 1}, "nonsense"),
        ({"definitions": [config_map()], "state": "gone"}, "state"),
    ],
)
def test_bad_options(playbook: Playbook, options: dict[str, Any], message: str) -> None:
    result = playbook(**options)
    assert result["failed"]
    assert message in result["msg"]


def test_nothing_to_do(playbook: Playbook) -> None:
    result = playbook(templates=[playbook.template("empty.yml.j2", "---\n# nothing\n---\n")])
    assert not result["changed"]
    assert result["requests"] == 0


def test_missing_client_library(playbook: Playbook, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow" / "kubernetes"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ImportError('not for this test')\n")
    path = os.pathsep.join([str(shadow.parent), os.environ.get("PYTHONPATH", "")])
    result = playbook(environ={"PYTHONPATH": path}, definitions=[config_map()])
    assert "Failed to import the required Python library (kubernetes)" in result["msg"]


def test_templates_know_the_time_of_the_server(playbook: Playbook, kubectl: Kubectl, keywords: dict[str, Any]) -> None:
    """What the server has written is compared with its own clock, wherever the task runs."""
    text = TEMPLATE.partition("---\n# nothing")[0].replace("{{ text }}", "{{ live_time }}")
    done = playbook(keywords=keywords, templates=[playbook.template("a.yml.j2", text)], live=LIVE)
    made = kubectl.get("configmap", "config-0")
    assert made, done["output"]
    times = (made["data"]["text"], made["metadata"]["creationTimestamp"])
    told, created = (datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ") for when in times)
    assert -2 <= (created - told).total_seconds() <= 30
