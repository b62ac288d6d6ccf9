# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""What a repeated run of the site playbook may cost, in counts that no busy machine can change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.lab.bench_counts.conftest import Interpreter, Run, play

# A task costs a repeated run 15 to 30 milliseconds, so one more wants a reason. The last two hand on the result, and
# one looks whether an object store was left, whose credentials must not stay.
MOST_TASKS = 22
# The claim, three Secrets, the Lease and the writer, which templates have to know.
LIVE_READS = 6


def is_record(path: str) -> bool:
    return "/configmaps/homeport-" in path


def test_a_repeated_run_changes_nothing(repeated: Run) -> None:
    assert repeated.applies
    assert not any(entry["result"].get("changed") for entry in repeated.results)


def test_every_object_is_sent_exactly_once(repeated: Run) -> None:
    sent = Counter(seen.path for seen in repeated.requests if seen.method == "PATCH")
    assert set(sent.values()) == {1}
    assert sum(sent.values()) == sum(len(apply["objects"]) for apply in repeated.applies)


def test_only_records_and_what_templates_need_are_read(repeated: Run) -> None:
    reads = [seen.path for seen in repeated.requests if seen.method == "GET"]
    assert len(reads) == len(set(reads))
    assert sum(is_record(path) for path in reads) == len(repeated.applies)
    assert len(reads) == len(repeated.applies) + LIVE_READS


def test_the_reported_number_of_requests_is_true(repeated: Run) -> None:
    assert sum(apply["requests"] for apply in repeated.applies) == len(repeated.requests)


def test_nothing_is_written(repeated: Run) -> None:
    assert {seen.method for seen in repeated.requests} == {"GET", "PATCH"}
    assert not [seen for seen in repeated.requests if seen.method == "PATCH" and is_record(seen.path)]
    assert repeated.before
    for path, before in repeated.before.items():
        assert what_we_wrote(before) == what_we_wrote(repeated.after[path]), path


def what_we_wrote(document: dict[str, Any]) -> Any:
    """Return what changes with a write of ours and not with a write of a controller."""
    ours = [entry for entry in document["metadata"]["managedFields"] if entry["manager"] == "homeport"]
    # Where there is a status, controllers write to the object too.
    version = None if "status" in document else document["metadata"]["resourceVersion"]
    return ours, document["metadata"].get("generation"), version


def test_no_module_is_run(repeated: Run) -> None:
    assert repeated.modules == 0


def test_a_module_would_be_counted(tmp_path: Path, interpreter: Interpreter) -> None:
    book = tmp_path / "ping.yml"
    variables = {"ansible_connection": "local", "ansible_python_interpreter": str(interpreter.path)}
    task = {"name": "Ping", "ansible.builtin.ping": {}}
    book.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [task]}]))
    before = interpreter.count
    play(["--inventory", "localhost,", str(book)], tmp_path / "log.jsonl")
    assert interpreter.count > before


def test_there_are_no_more_tasks_than_agreed(repeated: Run) -> None:
    assert len(repeated.tasks) <= MOST_TASKS, "\n".join(repeated.tasks)
