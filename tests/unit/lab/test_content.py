# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A build is repeated exactly when something it reads has changed."""

from __future__ import annotations

from pathlib import Path

from lab.content import files_under, key_of, key_of_files


def tree(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "sub" / "run").write_text("#!/bin/sh\n")
    return folder


def key(folder: Path, *more: str) -> str:
    return key_of_files(files_under(folder), folder, *more)


def test_boundaries_between_parts_count() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a", b"b") == key_of(b"a", "b")


def test_the_same_tree_elsewhere_has_the_same_key(tmp_path: Path) -> None:
    assert key(tree(tmp_path / "one")) == key(tree(tmp_path / "two"))


def test_content_name_mode_and_arguments_change_the_key(tmp_path: Path) -> None:
    first = key(tree(tmp_path / "first"))
    for number, change in enumerate(
        (
            lambda folder: (folder / "Dockerfile").write_text("FROM other\n"),
            lambda folder: (folder / "Dockerfile").rename(folder / "Containerfile"),
            lambda folder: (folder / "sub" / "run").chmod(0o755),
            lambda folder: (folder / "sub" / "more").write_text(""),
        )
    ):
        folder = tree(tmp_path / str(number))
        change(folder)
        assert key(folder) != first
    assert key(tree(tmp_path / "args"), "PROGRAM=etcd") != first


def test_compiled_python_is_no_input(tmp_path: Path) -> None:
    folder = tree(tmp_path / "one")
    first = key(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_bytes(b"\0")
    assert key(folder) == first
