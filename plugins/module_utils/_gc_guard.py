# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a collector on a volume asks before each deletion: the engine, by way of the kernel. Private.

A collector that stood still with its node wakes up together with the engine, and may be the faster of the two. Here
its system calls that remove files wait until the engine has looked at the clock (seccomp_unotify(2)). Go tries to
remove each folder of the store as a file first, so there is one question for each blob and each link.

Executed as a program, this file sets that up for itself, hands the questions to the engine, and becomes the collector.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence

# By machine: the kernel's name for it (AUDIT_ARCH), and the numbers of the system calls.
_MACHINES = {
    "x86_64": {"audit": 0xC000003E, "seccomp": 317, "unlinkat": 263, "unlink": 87},
    "aarch64": {"audit": 0xC00000B7, "seccomp": 277, "unlinkat": 35},
}
# Before this version a call that waits cannot be told to go on.
_KERNEL = (5, 5)
_NO_NEW_PRIVILEGES = 38
_SET_FILTER, _NEW_LISTENER = 1, 8
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
# struct seccomp_data: number, machine, instruction, six arguments; these are offsets, of the lower half of an argument.
_NUMBER, _MACHINE, _FOLDER, _FLAGS = 0, 4, 16, 32
_HERE = 0xFFFFFF9C
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
# A question and its answer: ioctl numbers, sizes, and "go on as if nobody had asked".
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_QUESTION_BYTES, _GO_ON = 80, 1
# From Linux 6.6 on, whoever asks and whoever answers may take turns on one processor, which is faster.
_SET_TURNS, _TAKE_TURNS = 0x40082104, 1
_LOOK_SECONDS = 0.25
_READY, _CANNOT = b"r", b"c"


def filter_for(machine: str) -> bytes | None:
    """Return the kernel's filter that holds back what removes a file, None for a machine that is not known."""
    numbers = _MACHINES.get(machine)
    if numbers is None:
        return None
    # Each step: what to compare with what, and what a difference leads to; the last two are the results.
    steps = [(_MACHINE, numbers["audit"]), (_NUMBER, numbers["unlinkat"]), (_FOLDER, _HERE), (_FLAGS, 0)]
    code = []
    for index, (offset, value) in enumerate(steps):
        left = len(steps) - index - 1
        code += [(_LOAD, 0, 0, offset), (_IF_EQUAL, 0, 2 * left + 1, value)]
    code += [(_RETURN, 0, 0, _ASK), (_RETURN, 0, 0, _ALLOW)]
    if "unlink" in numbers:
        # Older programs have a call of its own for the same; it is asked for first, for this machine alone.
        old = [(_IF_EQUAL, 0, 1, numbers["unlink"]), (_RETURN, 0, 0, _ASK)]
        code[1] = (_IF_EQUAL, 0, code[1][2] + len(old), numbers["audit"])
        code[3:3] = old
    return b"".join(struct.pack("HBBI", *step) for step in code)


class Guard:
    """Answers what a child asks before it removes something."""

    def __init__(self, may_delete: Callable[[], bool], refuse: Callable[[], None]) -> None:
        """Take what decides.

        Args:
            may_delete: waits as long as it is in doubt, and tells whether something may be deleted now.
            refuse: ends the child, whose question is never answered then.
        """
        self._may_delete, self._refuse = may_delete, refuse
        self._ours, self._theirs = socket.socketpair()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="guard", daemon=True)
        # Whether everything was asked for; these are told after the end.
        self.held = False
        # What went wrong while it was answered, if anything.
        self.fault = ""

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that asks and is otherwise the given one."""
        return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(self._theirs.fileno()), *command]

    @property
    def inherited(self) -> int:
        """Return the file descriptor that the command needs."""
        return self._theirs.fileno()

    def start(self) -> None:
        """Begin to answer, as soon as the child has been started."""
        self._theirs.close()
        self._thread.start()

    def close(self) -> None:
        """Answer nothing more. Whoever still asks waits for ever, so the child has ended before."""
        self._closed.set()
        for one in (self._ours, self._theirs):
            # What the thread still waits for ends with it.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _serve(self) -> None:
        try:
            said, given, _flags, _address = socket.recv_fds(self._ours, 1, 1)
        except OSError:
            return
        if said != _READY:
            return
        (questions,) = given
        self.held = True
        with contextlib.suppress(OSError):
            fcntl.ioctl(questions, _SET_TURNS, _TAKE_TURNS)
        try:
            self._answer(questions)
        finally:
            os.close(questions)

    def _answer(self, questions: int) -> None:
        poll = select.poll()
        poll.register(questions, select.POLLIN)
        over = False
        try:
            while not self._closed.is_set():
                # The kernel says by POLLHUP, from version 5.9 on, that nobody is left who could ask.
                events = [event for _file, event in poll.poll(_LOOK_SECONDS * 1000)]
                if events and not events[0] & select.POLLIN:
                    break
                if events and not self._answer_one(questions):
                    return
            over = True
        except Exception as error:
            self.fault = f"{type(error).__name__}: {error}"
            raise
        finally:
            # When this is closed, whatever is asked gets an error, and Go would go on and remove what is in the folder.
            if not over:
                self._refuse()

    def _answer_one(self, questions: int) -> bool:
        question = bytearray(_QUESTION_BYTES)
        if not _ioctl(questions, _RECEIVE, question):
            return True
        if not self._may_delete():
            return False
        (number,) = struct.unpack_from("Q", question)
        _ioctl(questions, _SEND, bytearray(struct.pack("QqiI", number, 0, 0, _GO_ON)))
        return True


def _ioctl(file: int, request: int, document: bytearray) -> bool:
    """Ask the kernel, and tell whether whoever asked is still there."""
    try:
        fcntl.ioctl(file, request, document)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EINPROGRESS):
            return False
        raise
    return True


def _hold_back() -> int:
    """Let this process ask from now on, and return where its questions come.

    Raises OSError or ImportError where that cannot be.
    """
    # Here and not above: a Python without it can collect all the same.
    import ctypes

    machine = platform.machine()
    code = filter_for(machine)
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if code is None or version is None or (int(version[1]), int(version[2])) < _KERNEL:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    library = ctypes.CDLL(None, use_errno=True)
    steps = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: how many steps, and where they are.
    program = struct.pack("HP", len(code) // 8, ctypes.addressof(steps))
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    number = ctypes.c_long(_MACHINES[machine]["seccomp"])
    questions = library.syscall(number, ctypes.c_ulong(_SET_FILTER), ctypes.c_ulong(_NEW_LISTENER), program)
    if questions < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return int(questions)


def _become(words: list[str]) -> None:
    """Hand over what is asked, or that nothing can be, and become the program."""
    with socket.socket(fileno=int(words[0])) as engine:
        try:
            questions = _hold_back()
        except (OSError, ImportError):
            engine.send(_CANNOT)
        else:
            socket.send_fds(engine, [_READY], [questions])
            os.close(questions)
    try:
        os.execv(words[1], words[1:])
    except OSError as error:
        raise SystemExit(f"{words[1]}: {error.strerror}") from None


if __name__ == "__main__":
    _become(sys.argv[1:])
