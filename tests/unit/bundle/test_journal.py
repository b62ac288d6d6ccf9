# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a push writes down to go on after a crash."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_journal import Journal

LARGE = 8 << 20


@pytest.fixture
def journal(tmp_path):
    made = Journal(str(tmp_path / "state"), "http://registry.test", "0" * 64)
    yield made
    made.close()


def read(tmp_path) -> dict[str, str]:
    """Return the uploads that whoever comes next would go on with."""
    later = Journal(str(tmp_path / "state"), "http://registry.test", "0" * 64)
    found = {digest: later.begun("a", digest) for digest in ("one", "two", "three")}
    later.close()
    return {digest: url for digest, url in found.items() if url}


def written(tmp_path) -> list[int]:
    return [path.stat().st_ino for path in (tmp_path / "state").glob("push-*.json")]


def test_what_has_begun_is_written_down_at_once(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    assert written(tmp_path)
    journal.close()
    assert read(tmp_path) == {"one": "http://registry.test/1"}


def test_what_is_done_is_taken_out_with_the_next(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    before = written(tmp_path)
    journal.note("a", "one", LARGE, "")
    assert written(tmp_path) == before
    assert journal.begun("a", "one") == ""
    journal.note("a", "two", LARGE, "http://registry.test/2")
    (path,) = (tmp_path / "state").glob("push-*.json")
    assert "registry.test/1" not in path.read_text()


def test_what_is_done_is_not_left_behind(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    journal.note("a", "two", LARGE, "http://registry.test/2")
    journal.note("a", "one", LARGE, "")
    journal.close()
    assert read(tmp_path) == {"two": "http://registry.test/2"}


def test_nothing_is_left_of_a_push_that_is_done(journal, tmp_path):
    journal.note("a", "one", LARGE, "http://registry.test/1")
    journal.note("a", "one", LARGE, "")
    journal.close(done=True)
    assert list((tmp_path / "state").iterdir()) == []
