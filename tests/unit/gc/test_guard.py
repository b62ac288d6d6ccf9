# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What removes files is held back by the kernel until the engine has been asked."""

from __future__ import annotations

import struct
import textwrap
import threading
import time

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _gc_guard
from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import (
    FenceLostError,
    GcError,
    InterruptedByError,
)

HERE, ELSEWHERE, FOLDER = 0xFFFFFF9C, 7, 0x200
SUMMARY = "0 blobs marked, 0 blobs and 0 manifests eligible for deletion"
# Removes files in all the ways that there are, each by one call.
REMOVES = """
    import pathlib
    store = pathlib.Path(r"{store}")
    folder = os.open(store, os.O_RDONLY)
    for name in sorted(os.listdir(store)):
        print(f"team/app: marking blob sha256:{{int(name):064x}}", flush=True)
        os.remove(store / name)
"""


def _decide(code, machine, number, folder=0, flags=0):
    """Do what the kernel does with a filter, and return the result."""
    data = struct.pack("<IIQ6Q", number, machine, 0, folder, 0, flags, 0, 0, 0)
    steps, at, value = [struct.unpack_from("HBBI", code, start) for start in range(0, len(code), 8)], 0, 0
    while True:
        what, equal, other, operand = steps[at]
        at += 1
        if what == 0x06:
            return operand
        if what == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif what == 0x15:
            at += equal if value == operand else other
        else:
            raise AssertionError(what)


X86, ARM = (0xC000003E, "x86_64"), (0xC00000B7, "aarch64")


@pytest.mark.parametrize(
    ("machine", "call", "asked"),
    [
        (X86, (263, HERE, 0), True),
        (X86, (263, HERE, FOLDER), False),
        (X86, (263, ELSEWHERE, 0), False),
        (X86, (87, 0, 0), True),
        (X86, (35, HERE, 0), False),
        (X86, (1, HERE, 0), False),
        (ARM, (35, HERE, 0), True),
        (ARM, (35, HERE, FOLDER), False),
        (ARM, (35, ELSEWHERE, 0), False),
        (ARM, (87, HERE, 0), False),
        (ARM, (263, HERE, 0), False),
    ],
)
def test_the_first_call_that_may_remove_something_is_asked_for(machine, call, asked):
    audit, name = machine
    code = _gc_guard.filter_for(name)
    assert (_decide(code, audit, *call) == _gc_guard._ASK) is asked
    # The same number means something else to a program of another machine.
    assert _decide(code, 0x40000003, *call) == _gc_guard._ALLOW


def test_a_machine_that_is_not_known_has_no_filter():
    assert _gc_guard.filter_for("mips64") is None


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}").touch()
    return folder


@pytest.fixture
def collector(program, store):
    """Return a function that makes a collector of the given text, which believes it has a volume."""

    def make(text=REMOVES):
        return program(f"{textwrap.dedent(text.format(store=store))}\nprint({SUMMARY!r})\n")

    return make


def test_each_removal_is_asked_for(collector, store):
    asked = []
    program = collector()
    program.check = lambda: asked.append(len(list(store.iterdir())))
    code, _last, found = program.collect()
    assert (code, len(found.marked), found.summary, program.asks) == (0, 20, True, True)
    assert asked == list(range(20, 0, -1))
    assert not list(store.iterdir())


def test_nothing_goes_after_the_first_no(collector, store):
    def check():
        if len(list(store.iterdir())) == 15:
            raise FenceLostError("keep the Lease", where="here", got="it is lost", remedy="none")

    program = collector()
    program.check = check
    code, _last, found = program.collect()
    assert (code, found.summary, program.asks) == (-9, False, True)
    assert len(list(store.iterdir())) == 15


def test_a_fault_of_the_engine_is_no_yes(collector, store, monkeypatch):
    """What the kernel says when nobody answers any more is an error, after which Go removes what is in a folder."""

    def check():
        raise RuntimeError("that was not foreseen")

    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    program = collector()
    program.check = check
    with pytest.raises(GcError, match="that was not foreseen") as told:
        program.collect()
    assert "fault" in told.value.remedy
    assert len(list(store.iterdir())) == 20


def test_it_waits_while_it_is_in_doubt(collector, store):
    program = collector()
    program.check = lambda: program.pause() if len(list(store.iterdir())) == 10 else None
    over = []
    running = threading.Thread(target=lambda: over.append(program.collect()[0]))
    running.start()
    end = time.monotonic() + 30
    while len(list(store.iterdir())) > 10:
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.5)
    # The one that was allowed, and no other.
    assert len(list(store.iterdir())) in (9, 10)
    assert not over
    program.check = lambda: None
    program.go_on()
    running.join(30)
    assert over == [0]
    assert not list(store.iterdir())


def test_whoever_is_killed_while_it_asks_ends(collector, store):
    program = collector()
    program.check = lambda: program.kill("the pod was told to end")
    with pytest.raises(InterruptedByError, match="told to end"):
        program.collect()
    assert len(list(store.iterdir())) >= 19


def test_a_dry_run_asks_nobody(collector, store):
    program = collector("print(sys.argv)")
    assert program.collect("--dry-run")[0] == 0
    assert not program.asks


@pytest.mark.parametrize(
    "lack",
    ["platform.machine = lambda: 'mips64'", "platform.release = lambda: '5.4.0-200'", "sys.modules['ctypes'] = None"],
)
def test_where_the_kernel_cannot_the_collector_runs_and_says_so(collector, store, monkeypatch, tmp_path, lack):
    start = tmp_path / "start.py"
    start.write_text(
        f"import platform, runpy, sys\n{lack}\nsys.argv[0] = {_gc_guard.__file__!r}\n"
        f"runpy.run_path({_gc_guard.__file__!r}, run_name='__main__')\n"
    )
    program = collector()
    asked = []
    program.check = lambda: asked.append(1)
    real = _gc_guard.Guard.command

    def command(self, words):
        python, *options, _file, number = real(self, words)[:5]
        return [python, *options, str(start), number, *words]

    monkeypatch.setattr(_gc_guard.Guard, "command", command)
    code, last, found = program.collect()
    assert (code, last, found.summary, program.asks, asked) == (0, "", True, False, [])
    assert not list(store.iterdir())


def test_no_file_of_the_engine_stays_open_in_the_collector(collector):
    code, last, _found = collector("print(*sorted(os.listdir('/proc/self/fd')))").collect()
    # Its streams, its own text, and the folder that is listed.
    assert code == 0
    assert len(last.split()) <= 5, last


def test_a_program_that_is_not_there_is_an_error(tmp_path):
    code, last, found = Program(str(tmp_path / "gone"), {"filesystem": {}}, str(tmp_path)).collect()
    assert code
    assert "gone" in last
    assert not found.summary
