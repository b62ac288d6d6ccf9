# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TOML is read as Python reads it, and one value changes without any other byte."""

from __future__ import annotations

import pytest
import tomllib

from ansible_collections.homeport.registry.plugins.module_utils._node_toml import Document, TomlError

TEXT = r'''# a comment
version = 3 # three
root = '/var/lib/containerd'
imports = ["a.toml", # one
  'b.toml',
]
[plugins.'io.containerd.cri.v1.images'] # images
  snapshotter = "overlay\u0066s" # "quoted"
  literal = 'C:\path'
  many = """
one \
   two"""
  number = 0x1F
  big = 1_000
  yes = true
  inline = { a.b = 'c', d = [ { e = 1 } ] }
[plugins."io.containerd.cri.v1.images".registry]
  config_path = ''

[a."b.c"]
  d = 1
'''
REGISTRY = ("plugins", "io.containerd.cri.v1.images", "registry")


def test_it_is_read_as_python_reads_it():
    assert Document(TEXT, "x").get() == tomllib.loads(TEXT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 3),
        (("a", "b.c", "d"), 1),
        (("a", "b.c"), {"d": 1}),
        (("plugins", "io.containerd.cri.v1.images", "inline", "a", "b"), "c"),
        ((*REGISTRY, "config_path"), ""),
        (("nowhere",), None),
        (("version", "below"), None),
    ],
)
def test_a_value_is_found_by_its_path(path, value):
    assert Document(TEXT, "x").get(*path) == value


def test_arrays_of_tables_do_not_clash():
    text = "[[a]]\nx = 1\n[a.b]\ny = 2\n[[a]]\nx = 3\n[a.b]\ny = 4\n"
    assert Document(text, "x").get("a", "1", "b", "y") == 4


def test_an_existing_value_is_replaced_and_nothing_else():
    changed = Document(TEXT, "x").with_string(REGISTRY, "config_path", "/etc/certs.d")
    assert changed == TEXT.replace("config_path = ''", 'config_path = "/etc/certs.d"')


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("[t]\n", '[t]\n  k = "v"\n'),
        ("[t]", '[t]\n  k = "v"\n'),
        ("  [t] # why\n    x = 1\n", '  [t] # why\n    k = "v"\n    x = 1\n'),
        ("[t]\r\nx = 1\r\n", '[t]\r\n  k = "v"\r\nx = 1\r\n'),
        ("", '[t]\n  k = "v"\n'),
        ("a = 1", 'a = 1\n\n[t]\n  k = "v"\n'),
        ("[t.below]\nx = 1\n", '[t.below]\nx = 1\n\n[t]\n  k = "v"\n'),
    ],
)
def test_a_missing_value_comes_into_its_table(text, after):
    assert Document(text, "x").with_string(("t",), "k", "v") == after
    assert Document(after, "x").get("t", "k") == "v"


@pytest.mark.parametrize("text", ["t = {}\n", "a.t = 1\n[a]\n"])
def test_a_table_that_is_written_inline_is_refused(text):
    table = ("t",) if text.startswith("t") else ("a", "t")
    with pytest.raises(TomlError, match="written inline"):
        Document(text, "x").with_string(table, "k", "v")


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("a = 1\na = 2\n", "twice"),
        ("[t]\n[t]\n", r"\[t\] is there twice"),
        ("a = \n", "a value is missing"),
        ("= 1\n", "a key is missing"),
        ('a = "x\n', "does not end"),
        ("a = 1 b = 2\n", "should end"),
        ("[t\n", "missing"),
        ('a = "\\q"\n', "unknown"),
    ],
)
def test_a_fault_is_named_with_its_line(text, saying):
    with pytest.raises(TomlError, match=rf"file\.toml, line [12].*{saying}"):
        Document(text, "file.toml")
