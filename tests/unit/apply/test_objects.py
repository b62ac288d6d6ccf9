# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Desired objects from YAML and task arguments, before any server sees them."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _apply_objects as objects
from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import documents_from, pack, unpack
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import InputError
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import Resource

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}


def unknown(api_version: str, kind: str) -> Resource | None:
    """Answer like a server that serves nothing else."""
    return None


def resolve(*documents: Any, namespace: str | None = "n") -> list[objects.Desired]:
    """Resolve documents with a server that knows no other kinds."""
    return objects.resolve(
        [(document, f"source {number}") for number, document in enumerate(documents)], namespace, unknown
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("---\n---\n# comment\n---\n", []),
        ("a: 1\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("kind: List\nitems: [{a: 1}, {kind: List, items: [{b: 2}]}]", [{"a": 1}, {"b": 2}]),
        ("[{a: 1}, {b: 2}]", [{"a": 1}, {"b": 2}]),
        ("date: 2030-01-01\nother: 2030-01-01T00:00:00Z", [{"date": "2030-01-01", "other": "2030-01-01T00:00:00Z"}]),
        ("x: &x {a: 1}\ny: {<<: *x, a: 2}", [{"x": {"a": 1}, "y": {"a": 2}}]),
    ],
)
def test_texts(text: str, expected: list[Any]) -> None:
    assert objects.parse_text(text, "t") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "password: *hunter2secret",
            "t: not YAML at line 1, column 11 of the rendered text, near password: found undefined alias",
        ),
        ("a: 1\npassword: 'hunter2secret\n", "t: not YAML at line 3, column 1 of the rendered text"),
        ("password: hunter2secret: x", "t: not YAML at line 1, column 24 of the rendered text, near password"),
        ("password: !hunter2secret x", "t: not YAML at line 1, column 11 of the rendered text, near password"),
        ("hunter2secret: 1\nhunter2secret: 2\n", "t: not YAML at line 2, column 1 of the rendered text, near"),
        ("a: {b: 1, b: 2}", "a key appears twice"),
        ("\x00", "t: not YAML"),
        ("hunter2secret", "t: expected a Kubernetes object, found str"),
    ],
)
def test_broken_texts_show_no_values(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        objects.parse_text(text, "t")
    assert message in caught.value.message
    if not text.startswith("hunter2secret:"):
        assert "hunter2secret" not in caught.value.message


def test_plain_types() -> None:
    class Text(str):
        """Like the text types of Ansible, which survive str()."""

        def __str__(self) -> str:
            return self

    class Vaulted(list):
        """Like a vaulted text of ansible-core before 2.19."""

        __ENCRYPTED__ = True

        def __str__(self) -> str:
            return "decrypted"

    moment = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    value = {Text("a"): (Text("b"), 1, 2.5, True, None), 8080: moment, True: [datetime.date(2030, 1, 1)]}
    found = objects.plain(value)
    assert found == {"a": ["b", 1, 2.5, True, None], "8080": "2030-01-01T00:00:00+00:00", "true": ["2030-01-01"]}
    assert type(next(iter(found))) is str
    assert type(found["a"][0]) is str
    assert objects.plain(Vaulted("xyz")) == "decrypted"
    json.dumps(found)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "source 0: the object has no apiVersion"),
        ({"apiVersion": "v1"}, "source 0: the object has no kind"),
        ({**CONFIG, "kind": ""}, "source 0: the object has no kind"),
        ({**CONFIG, "metadata": None}, "source 0: the object ConfigMap has no metadata.name"),
        ({**CONFIG, "metadata": {"name": 7}}, "the object ConfigMap has a metadata.name that is not text; quote it"),
        ({**CONFIG, "metadata": {"generateName": "c-"}}, "no metadata.name; generateName cannot be applied twice"),
        ({**CONFIG, "kind": "Widget"}, "source 0: this cluster knows no kind Widget in v1 (Widget c)"),
    ],
)
def test_incomplete_objects(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(document)
    assert caught.value.message.endswith(message)


def test_namespaces() -> None:
    own = {**CONFIG, "metadata": {"name": "own", "namespace": "theirs"}}
    cluster = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "namespace": "nonsense"}}
    found = resolve(CONFIG, own, cluster)
    assert [item.path for item in found] == [
        "/api/v1/namespaces/n/configmaps/c",
        "/api/v1/namespaces/theirs/configmaps/own",
        "/api/v1/namespaces/n",
    ]
    assert [item.body["metadata"].get("namespace") for item in found] == ["n", "theirs", None]
    assert [item.label for item in found] == ["ConfigMap n/c", "ConfigMap theirs/own", "Namespace n"]
    with pytest.raises(InputError, match="ConfigMap c names no namespace"):
        resolve(CONFIG, namespace=None)


def test_duplicates_are_named_with_both_sources() -> None:
    with pytest.raises(InputError, match="ConfigMap n/c is defined twice: in source 0 and in source 1"):
        resolve(CONFIG, {**CONFIG, "metadata": {"name": "c", "namespace": "n"}})
    other = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}}
    with pytest.raises(InputError, match="HorizontalPodAutoscaler n/h is defined twice"):
        resolve(other, {**other, "apiVersion": "autoscaling/v2"})


def test_kinds_of_definitions_among_the_objects() -> None:
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgetry"},
        "versions": [{"name": "v1", "served": True}, {"name": "v0", "served": False}],
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgetry.example.com"},
        "spec": spec,
    }
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    assert resolve(widget, definition)[0].path == "/apis/example.com/v1/namespaces/n/widgetry/w"
    with pytest.raises(InputError, match="knows no kind Widget"):
        resolve({**widget, "apiVersion": "example.com/v0"}, definition)


def test_secrets_are_sent_as_data() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    body = resolve({**secret, "stringData": {"a": "1", "b": "2"}, "data": {"b": "b2xk", "c": "Mw=="}})[0].body
    assert body["data"] == {"a": "MQ==", "b": "Mg==", "c": "Mw=="}
    assert "stringData" not in body
    assert "data" not in resolve(secret)[0].body
    with pytest.raises(InputError, match=r"Secret s: data\.a must be text; quote it"):
        resolve({**secret, "data": {"a": 12345678}})


def test_every_form_of_a_secret_value_is_known() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"a": "password", "b": "x"},
    }
    binary = {
        **secret,
        "metadata": {"name": "t"},
        "stringData": None,
        "data": {"k": base64.b64encode(b"\xff\xfe\xfd").decode()},
    }
    texts = objects.secret_texts(resolve(secret, binary, CONFIG))
    assert texts == ["cGFzc3dvcmQ=", "password", "//79", "eA=="]


def test_prune_annotation() -> None:
    kept = {**CONFIG, "metadata": {"name": "c", "annotations": {"registry.homeport.dev/prune": "disabled"}}}
    assert [item.keep for item in resolve(kept, {**CONFIG, "metadata": {"name": "d"}})] == [True, False]


def test_definitions_may_be_anything() -> None:
    found = documents_from([CONFIG, "a: 1\n---\nb: 2", [{"c": 3}], None])
    assert found == [
        (CONFIG, "definitions[0]"),
        ({"a": 1}, "definitions[1]"),
        ({"b": 2}, "definitions[1]"),
        ({"c": 3}, "definitions[2]"),
    ]
    assert documents_from(None) == []
    assert unpack(pack(found)) == found
