# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of the controller fits the playbooks, the roles, the modules, and itself."""

from __future__ import annotations

import functools
import re
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.contract.collection import (
    documentation,
    installed,
    load,
    module_of,
    module_options,
    spec_options,
    tasks_in,
    wrong_arguments,
)

Document = dict[str, t.Any]

DATA = installed() / "inventories" / "controller" / "group_vars" / "all"
ROLE = installed() / "roles" / "registry_controller"
# Names of infra.aap_configuration, each with the module that its items are for.
KINDS = {
    "aap_organizations": "organization",
    "controller_credential_types": "credential_type",
    "controller_credentials": "credential",
    "controller_execution_environments": "execution_environment",
    "controller_projects": "project",
    "controller_inventories": "inventory",
    "controller_hosts": "host",
    "controller_groups": "group",
    "controller_templates": "job_template",
    "controller_workflows": "workflow_job_template",
    "controller_schedules": "schedule",
}
# Types of questions that give a value of a type of a role's variable. A bool is a choice: there is no such question.
QUESTIONS = {
    "str": {"text", "textarea", "password", "multiplechoice"},
    "int": {"integer"},
    "float": {"float"},
    "bool": {"multiplechoice"},
    "list": {"multiselect"},
}
# Types that every controller has.
BUILT_IN = {"Machine"}


@functools.cache
def objects(kind: str) -> list[Document]:
    found: list[Document] = load((DATA / f"{kind}.yml").read_text("utf-8"))[kind]
    return found


def names(kind: str) -> set[str]:
    return {item["name"] for item in objects(kind)}


def roles_of(playbook: Path) -> Iterator[str]:
    """Yield the roles of a playbook, of those that it imports, and what they depend on."""
    for play in load(playbook.read_text("utf-8")):
        if imported := play.get("ansible.builtin.import_playbook"):
            yield from roles_of(playbook.with_name(f"{imported.rpartition('.')[2]}.yml"))
        for role in play.get("roles", []):
            yield from with_dependencies(role["role"].rpartition(".")[2])


def with_dependencies(role: str) -> Iterator[str]:
    yield role
    for other in load((installed() / "roles" / role / "meta" / "main.yml").read_text("utf-8"))["dependencies"]:
        yield from with_dependencies(other["role"].rpartition(".")[2])


def options_of(template: Document) -> dict[str, Document]:
    """Return the variables of every role that a template's playbook runs."""
    roles = set(roles_of(installed() / template["playbook"]))
    return {name: option for role in roles for name, option in spec_options(installed() / "roles" / role).items()}


def questions(template: Document) -> list[Document]:
    found: list[Document] = template.get("survey_spec", {}).get("spec", [])
    return found


def faults_of(question: Document, option: Document) -> list[str]:
    """Return what is wrong with a question about a role's variable."""
    kind = option.get("type", "str")
    choices = ["true", "false"] if kind == "bool" else option.get("choices")
    found = []
    if question["type"] not in QUESTIONS[kind]:
        found.append(f"a question of type {question['type']} for a {kind}")
    if question.get("choices") != (choices if question["type"] in ("multiplechoice", "multiselect") else None):
        found.append(f"choices {question.get('choices')}, and the role has {choices}")
    if choices and question["type"] not in ("multiplechoice", "multiselect"):
        found.append("the role knows the choices, and the question does not")
    if question["required"] is not bool(option.get("required")):
        found.append(f"required is {question['required']}")
    if "default" in question:
        default = option.get("default")
        default = str(default).lower() if kind == "bool" else default
        if question["default"] != default or type(question["default"]) is not type(default):
            found.append(f"the default is {question['default']!r}, and that of the role {default!r}")
    # An empty answer would be passed on, and is none of the choices and no size.
    elif question["type"] == "text" and not question.get("min"):
        found.append("an empty answer would take the place of the inventory's")
    if bool(option.get("no_log")) != (question["type"] == "password"):
        found.append("what is secret is asked for as a password, and nothing else")
    return found


TEMPLATES = [pytest.param(template, id=template["name"]) for template in objects("controller_templates")]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_has_a_playbook_of_ours(template: Document) -> None:
    assert (installed() / template["playbook"]).is_file()
    assert template["survey_enabled"] is bool(questions(template))


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_survey_asks_for_variables_of_the_roles_as_they_are(template: Document) -> None:
    options = options_of(template)
    wrong = {}
    for question in questions(template):
        name = question["variable"]
        faults = faults_of(question, options[name]) if name in options else ["no role of the playbook has it"]
        if faults:
            wrong[name] = faults
    assert not wrong


@pytest.mark.parametrize(
    ("question", "option"),
    [
        ({"type": "text", "min": 1}, {"type": "int"}),
        ({"type": "multiplechoice", "choices": ["a"]}, {"type": "str", "choices": ["a", "b"]}),
        ({"type": "text", "min": 1}, {"type": "str", "choices": ["a", "b"]}),
        ({"type": "integer", "default": "3"}, {"type": "int", "default": 3}),
        ({"type": "integer", "default": 4}, {"type": "int", "default": 3}),
        (
            {"type": "multiplechoice", "choices": ["true", "false"], "default": "true"},
            {"type": "bool", "default": False},
        ),
        ({"type": "text", "min": 1}, {"type": "str", "required": True}),
        ({"type": "text"}, {"type": "str"}),
        ({"type": "text", "min": 1}, {"type": "str", "no_log": True}),
    ],
)
def test_a_wrong_question_is_found(question: Document, option: Document) -> None:
    assert faults_of({"required": False, **question}, option)


@pytest.mark.parametrize("kind", KINDS)
def test_the_data_has_the_keys_of_the_modules(kind: str) -> None:
    assert set(load((DATA / f"{kind}.yml").read_text("utf-8"))) == {kind}
    for item in objects(kind):
        plain = {key: value for key, value in item.items() if key != "simplified_workflow_nodes"}
        assert not wrong_arguments(module_options(f"awx.awx.{KINDS[kind]}"), plain), item["name"]
        for node in item.get("simplified_workflow_nodes", []):
            given = {"workflow_job_template": item["name"], **node}
            assert not wrong_arguments(module_options("awx.awx.workflow_job_template_node"), given), node


def test_there_is_no_other_data() -> None:
    assert {path.stem for path in DATA.iterdir()} == set(KINDS)


def test_everything_that_is_named_exists() -> None:
    points = {
        "organization": names("aap_organizations"),
        "lookup_organization": names("aap_organizations"),
        "project": names("controller_projects"),
        "inventory": names("controller_inventories"),
        "execution_environment": names("controller_execution_environments"),
        "default_environment": names("controller_execution_environments"),
        "credentials": names("controller_credentials"),
        "credential_type": names("controller_credential_types") | BUILT_IN,
        "hosts": names("controller_hosts"),
        "unified_job_template": names("controller_templates") | names("controller_workflows"),
    }
    lost = []
    for kind in KINDS:
        for item in objects(kind):
            for thing in [item, *item.get("simplified_workflow_nodes", [])]:
                for key, known in points.items():
                    given = thing.get(key) or []
                    lost += [
                        f"{kind}: {name}"
                        for name in ([given] if isinstance(given, str) else given)
                        if name not in known
                    ]
    assert not lost


@pytest.mark.parametrize("workflow", [pytest.param(one, id=one["name"]) for one in objects("controller_workflows")])
def test_a_workflow_holds_together(workflow: Document) -> None:
    nodes = {node["identifier"]: node for node in workflow["simplified_workflow_nodes"]}
    templates = {template["name"]: template for template in objects("controller_templates")}
    reached = set()
    for node in nodes.values():
        followers = [name for when in ("success", "failure", "always") for name in node.get(f"{when}_nodes", [])]
        assert set(followers) <= set(nodes)
        reached |= set(followers)
        asked = {one["variable"]: one for one in questions(templates.get(node.get("unified_job_template", ""), {}))}
        # A controller drops an answer to a question that the template does not ask.
        for name, value in node.get("extra_data", {}).items():
            assert value in asked[name].get("choices", [value])
    assert len(set(nodes) - reached) == 1
    # What a workflow is limited to reaches its jobs only where they ask for it too.
    for prompt in ("ask_limit_on_launch", "ask_inventory_on_launch"):
        assert all(templates[name][prompt] for node in nodes.values() if (name := node.get("unified_job_template")))


def test_what_a_credential_injects_is_known() -> None:
    known = {name for role in (installed() / "roles").iterdir() for name in spec_options(role)}
    texts = str([body["doc"]["options"] for body in documentation()["module"].values()])
    fallbacks = set(re.findall(r"E\((\w+)\)", texts))
    for kind in objects("controller_credential_types"):
        fields = {field["id"] for field in kind["inputs"]["fields"]}
        assert set(kind["inputs"]["required"]) <= fields
        injectors = kind["injectors"]
        assert set(injectors.get("extra_vars", {})) <= known, kind["name"]
        assert set(injectors.get("env", {})) <= fallbacks, kind["name"]
        used = set(re.findall(r"{{ *([\w.]+) *}}", str(injectors)))
        files = {f"tower.filename.{name.partition('.')[2]}" for name in injectors.get("file", {})}
        # A field that goes nowhere is a secret that was typed in for nothing.
        assert used == fields | files, kind["name"]


def test_no_credential_holds_a_value() -> None:
    for item in objects("controller_credentials"):
        assert all(re.fullmatch(r"{{ homeport_\w+.* }}", value) for value in item["inputs"].values()), item["name"]


def test_the_role_passes_on_exactly_what_it_knows() -> None:
    keys = load((ROLE / "vars" / "main.yml").read_text("utf-8"))["__registry_controller_keys"]
    seen = set()
    for file in sorted((ROLE / "tasks").glob("*.yml")):
        for task in tasks_in(load(file.read_text("utf-8"))):
            module = module_of(task) or ""
            if not module.startswith("awx.awx.") or file.stem == "absent":
                continue
            kind = task["register"].removeprefix("__registry_controller_")
            passed = set(task[module])
            assert not wrong_arguments(module_options(module), task[module])
            if kind in ("nodes", "links"):
                links = {"success_nodes", "failure_nodes", "always_nodes"} if kind == "nodes" else set()
                assert passed | links == {*keys["nodes"], "workflow_job_template", "organization"}
            else:
                assert passed == set(keys[kind]) - {"simplified_workflow_nodes"}, kind
            seen.add(kind)
    assert seen == {*keys, "links"}
