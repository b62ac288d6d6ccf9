# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""YAML is read as PyYAML reads it, or refused; one value changes without any other byte."""

from __future__ import annotations

import random

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.module_utils._node_yaml import Document
from ansible_collections.homeport.registry.plugins.module_utils._node_yaml_reader import YamlError

TEXT = """---
# who may be asked
mirrors:
  docker.io:   # the hub
    endpoint:
    - "https://cache.test:5000"   # ours
    - https://other.test
    rewrite: {"^library/(.*)": "proxy/$1", a: b}
  "*":
  registry.test:5000: {endpoint: [ 'https://a', https://b:1/v2/x, ] }

configs:
  # with an account
  'it''s.test':
    auth:
      username: who
      password: "a # b: \\"c\\""
    tls: {ca_file: /etc/ca.crt}

  empty: ~
# the end
"""
CA = ("configs", "reg.test:5000", "tls", "ca_file")


def by_pyyaml(text):
    return yaml.load(text, Loader=yaml.BaseLoader) or {}


def test_it_is_read_as_pyyaml_reads_it():
    assert Document(TEXT, "x").plain() == by_pyyaml(TEXT)
    assert Document(TEXT.replace("\n", "\r\n"), "x").plain() == by_pyyaml(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "# only\n",
        "---\n",
        "--- # x\n\n",
        "{}\n",
        "{ } # nothing",
        "\ufeffa: b\n",
        "  a: b\n  c:\n  - d\n",
        "a:\n",
        "a: b",
    ],
)
def test_small_files_are_read_as_pyyaml_reads_them(text):
    assert Document(text, "x").plain() == by_pyyaml(text)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("a: &x b\nc: *x\n", "line 1.*an anchor"),
        ("a: b\nc: *x\n", "line 2.*an alias"),
        ("*: b\n", "an alias"),
        ("a: !t b\n", "a tag"),
        ("a: |\n  b\n", "a text over several lines"),
        ("a: b\n  c\n", "line 2.*over several lines"),
        ('a: "b\n  c"\n', "quoted value over several lines"),
        ("a: {b: c,\n  d: e}\n", "do not end in their line"),
        ("\ta: b\n", "a tab"),
        ("a:\n\tb: c\n", "a tab"),
        ("a: b\n---\nc: d\n", "more than one document"),
        ("%YAML 1.1\n---\na: b\n", "a directive"),
        ("a: b\na: c\n", "a key twice"),
        ("<<: {a: b}\n", "merges keys"),
        ("- a\n", "no mapping"),
        ("a\n", "something else than a key"),
        ("a: b: c\n", "two keys in one line"),
        ("a:\n  b: c\n d: e\n", "fits nothing above it"),
        ("a:\n- b: c\n", "something else than words"),
        ("a: {b: c} d\n", "something follows"),
        ("? a\n", "a key of its own line"),
        ("a: b\rc: d\n", "a control character"),
        ("a: b\u2028c\n", "a control character"),
        ('a: "\\x41"\n', "an escape that only YAML knows"),
    ],
)
def test_what_could_mean_something_else_is_refused(text, got):
    with pytest.raises(YamlError, match=got):
        Document(text, "x")


def test_a_refusal_does_not_tell_what_the_file_holds():
    with pytest.raises(YamlError) as caught:
        Document("a:\n  password: &x secret\n", "registries.yaml")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", 'configs:\n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\n'),
        ("# why\n", '# why\nconfigs:\n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\n'),
        ("a: b", 'a: b\nconfigs:\n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\n'),
        ("configs:\n", 'configs:\n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\n'),
        ("configs: {} # none\na: b\n", 'configs:  # none\n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\na: b\n'),
        ("configs: ~", 'configs: \n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\n'),
        ("{}\n", '\nconfigs:\n  "reg.test:5000":\n    tls:\n      ca_file: "/c"\n'),
        ("configs: {x: {}}\n", 'configs: {x: {}, "reg.test:5000": {tls: {ca_file: "/c"}}}\n'),
        ("configs: {reg.test:5000: {}}\n", 'configs: {reg.test:5000: {tls: {ca_file: "/c"}}}\n'),
        (
            "configs:\n    reg.test:5000:\n        auth: {u: a}\n\n# end\n",
            'configs:\n    reg.test:5000:\n        auth: {u: a}\n        tls:\n          ca_file: "/c"\n\n# end\n',
        ),
        (
            "configs:\n  reg.test:5000:\n    tls:\n      ca_file: /old # it\n",
            'configs:\n  reg.test:5000:\n    tls:\n      ca_file: "/c" # it\n',
        ),
        (
            "configs:\n  reg.test:5000:\n    tls:\n      ca_file:\n",
            'configs:\n  reg.test:5000:\n    tls:\n      ca_file: "/c"\n',
        ),
        ("a: b\r\nconfigs:\r\n", 'a: b\r\nconfigs:\r\n  "reg.test:5000":\r\n    tls:\r\n      ca_file: "/c"\r\n'),
    ],
)
def test_a_value_comes_in_and_nothing_else_changes(text, after):
    changed = Document(text, "x").with_value(CA, "/c")
    assert changed == after
    assert by_pyyaml(changed)["configs"]["reg.test:5000"]["tls"]["ca_file"] == "/c"
    assert Document(changed, "x").plain() == by_pyyaml(changed)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", 'mirrors:\n  "*":\n    endpoint:\n      - "https://m"\n'),
        ('mirrors:\n  "*":\n', 'mirrors:\n  "*":\n    endpoint:\n      - "https://m"\n'),
        ('mirrors:\n  "*":\n    endpoint: []\n', 'mirrors:\n  "*":\n    endpoint: \n      - "https://m"\n'),
        (
            'mirrors:\n  "*":\n    endpoint: [https://a:1]\n',
            'mirrors:\n  "*":\n    endpoint: ["https://m", https://a:1]\n',
        ),
        (
            'mirrors:\n  "*":\n    endpoint:\n    # x\n    - a\n',
            'mirrors:\n  "*":\n    endpoint:\n    # x\n    - "https://m"\n    - a\n',
        ),
        ('mirrors: {"*": {endpoint: [a]}}\n', 'mirrors: {"*": {endpoint: ["https://m", a]}}\n'),
        ('mirrors: {"*": {}}\n', 'mirrors: {"*": {endpoint: ["https://m"]}}\n'),
    ],
)
def test_an_item_comes_first(text, after):
    path = ("mirrors", "*", "endpoint")
    changed = Document(text, "x").with_value(path, "https://m", item=True)
    assert changed == after
    assert by_pyyaml(changed)["mirrors"]["*"]["endpoint"][0] == "https://m"
    back = by_pyyaml(Document(changed, "x").without(path, "https://m"))
    assert (back["mirrors"]["*"]["endpoint"] or []) == (Document(text, "x").get(*path) or [])


@pytest.mark.parametrize(
    "text",
    [
        "configs: text\n",
        "configs:\n- a\n",
        "configs: {reg.test:5000: }\n",
        "configs:\n  reg.test:5000:\n    tls:\n      ca_file: {a: b}\n",
    ],
)
def test_what_is_in_the_way_is_refused(text):
    with pytest.raises(YamlError, match="something else than a mapping"):
        Document(text, "x").with_value(CA, "/c")


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("a: b\nc:\n  d: e\n  # f\n  g: h\ni: j\n", ("c",), "a: b\ni: j\n"),
        ("c:\n  d: e # x\n  g: h\n", ("c", "d"), "c:\n  g: h\n"),
        ("c:\n  d: e\n\n# end\n", ("c", "d"), "c:\n\n# end\n"),
        ("c: {d: e, f: g}\n", ("c", "d"), "c: {f: g}\n"),
        ("c: {d: e, f: g}\n", ("c", "f"), "c: {d: e}\n"),
        ("c: {d: e}\n", ("c", "d"), "c: {}\n"),
    ],
)
def test_a_key_goes_and_nothing_else_changes(text, path, after):
    assert Document(text, "x").without(path) == after


def test_passwords_are_covered():
    masked = Document(TEXT, "x").masked("auth", "identitytoken")
    assert "who" not in masked.replace("# who", "")
    assert '"c' not in masked
    assert by_pyyaml(masked)["configs"]["it's.test"]["auth"] == {"username": "********", "password": "********"}
    assert masked.count("\n") == TEXT.count("\n")


def test_it_never_reads_something_else_than_pyyaml_does():
    """Damaged files: each is refused, or read as PyYAML reads it, and stays so when a value comes in."""
    dice = random.Random(7)
    pieces = [
        ":",
        " ",
        "  ",
        "\n",
        "#",
        " #",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        "-",
        "- ",
        ": ",
        "a",
        "&",
        "*",
        "\t",
        "~",
        "|",
        "?",
    ]
    read = 0
    for _round in range(800):
        text = TEXT
        for _damage in range(dice.randint(1, 3)):
            place = dice.randrange(len(text))
            text = text[:place] + dice.choice(pieces) + text[place + dice.choice([0, 0, 1, 4]) :]
        try:
            document = Document(text, "x")
        except YamlError:
            continue
        read += 1
        assert document.plain() == by_pyyaml(text), text
        try:
            changed = document.with_value(CA, "/c")
        except YamlError:
            continue
        assert Document(changed, "x").plain() == by_pyyaml(changed), text
    assert read > 150
