# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a push writes down to go on after a crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_journal import Journal

LARGE = 8 << 20


@pytest.fixture
def journal(tmp_path):
    made = Journal(str(tmp_path / "state"), "http://registry.test", "0" * 64)
    yield made
    made.close()


def read(folder: Path) -> dict[str, str]:
    """Return the uploads that whoever comes next would go on with."""
    later = Journal(str(folder), "http://registry.test", "0" * 64)
    found = {digest: later.begun("a", digest) for digest in ("one", "two", "three")}
    later.close()
    return {digest: url for digest, url in found.items() if url}


def killed(tmp_path) -> dict[str, str]:
    """Return the uploads that would be gone on with if whoever has the journal were killed now."""
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    return read(Path(shutil.copytree(tmp_path / "state", tmp_path / "copy")))


def file(tmp_path) -> Path:
    (path,) = (tmp_path / "state").glob("push-*.json")
    return path


def test_what_has_begun_is_written_down_at_once(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    assert killed(tmp_path) == {"one": "http://registry.test/1"}
    journal.note("a", "two", LARGE, "http://registry.test/2")
    assert killed(tmp_path) == {"one": "http://registry.test/1", "two": "http://registry.test/2"}
    journal.close()
    assert read(tmp_path / "state") == {"one": "http://registry.test/1", "two": "http://registry.test/2"}


def test_each_upload_adds_a_line_to_one_file_of_its_owner(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    before, one = file(tmp_path).stat(), file(tmp_path).read_bytes()
    journal.note("a", "two", LARGE, "http://registry.test/2")
    after, both = file(tmp_path).stat(), file(tmp_path).read_bytes()
    assert (before.st_ino, after.st_mode & 0o777) == (after.st_ino, 0o600)
    assert both.startswith(one)
    assert len(both) > len(one)


def test_a_file_that_somebody_else_has_open_is_not_added_to(tmp_path):
    Journal(str(tmp_path / "state"), "http://registry.test", "0" * 64).close()
    path = Path(str(next((tmp_path / "state").glob("*.lock"))).removesuffix(".lock"))
    path.write_bytes(b"")
    with path.open() as stranger:
        journal = Journal(str(tmp_path / "state"), "http://registry.test", "0" * 64)
        journal.note("a", "one", LARGE, "http://registry.test/1")
        journal.note("a", "two", LARGE, "http://registry.test/2")
        journal.close()
        assert stranger.read() == ""
    assert set(read(tmp_path / "state")) == {"one", "two"}


def test_what_is_done_is_taken_out_with_the_next(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    before = file(tmp_path).read_bytes()
    journal.note("a", "one", LARGE, "")
    assert file(tmp_path).read_bytes() == before
    assert journal.begun("a", "one") == ""
    journal.note("a", "two", LARGE, "http://registry.test/2")
    assert killed(tmp_path) == {"two": "http://registry.test/2"}


def test_what_is_begun_anew_counts(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    journal.note("a", "one", LARGE, "")
    journal.note("a", "one", LARGE, "http://registry.test/again")
    assert killed(tmp_path) == {"one": "http://registry.test/again"}


@pytest.mark.parametrize(
    "torn", [b'\n{"a@two": {"url": "htt', b'\n{"a@two": {"url": "x"}', b"\xff\xfe", b"[1]\n", b"7"]
)
def test_a_line_that_was_cut_off_takes_nothing_else_with_it(journal, tmp_path, torn):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    with file(tmp_path).open("ab") as stream:
        stream.write(torn)
    assert killed(tmp_path) == {"one": "http://registry.test/1"}
    journal.note("a", "three", LARGE, "http://registry.test/3")
    assert killed(tmp_path) == {"one": "http://registry.test/1", "three": "http://registry.test/3"}


def test_what_is_done_is_not_left_behind(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    journal.note("a", "two", LARGE, "http://registry.test/2")
    journal.note("a", "one", LARGE, "")
    journal.close()
    assert read(tmp_path / "state") == {"two": "http://registry.test/2"}


def test_nothing_is_left_of_a_push_that_is_done(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    journal.note("a", "one", LARGE, "")
    journal.close(done=True)
    assert list((tmp_path / "state").iterdir()) == []
