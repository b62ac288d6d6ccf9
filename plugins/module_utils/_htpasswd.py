# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""htpasswd texts as Distribution reads them: bcrypt only, one user per line. Private.

Everything here is a function from text and users to text: no files, no module objects.
A text may carry undecodable bytes as surrogate escapes (PEP 383); lines that are kept come back unchanged.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.homeport.registry.plugins.module_utils._deps import BcryptHandler, load_bcrypt
from ansible_collections.homeport.registry.plugins.module_utils._errors import HtpasswdError

DEFAULT_COST = 5
MIN_COST = 4
MAX_COST = 17
MAX_NAME_BYTES = 255
MAX_PASSWORD_BYTES = 72

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
# Unused bits of salt and checksum: servers compare text, so a hash that sets them may verify here and fail there.
_SALT_ENDS = ".Oeu"
_CHECKSUM_ENDS = ".CGKOSWaeimquy26"
# Control, invisible formatting, surrogate (undecodable) and line or paragraph separator characters.
_REFUSED_CATEGORIES = {"Cc": "a control character", "Cf": "an invisible character", "Cs": "a byte that is not UTF-8"}
_REFUSED_CATEGORIES.update(dict.fromkeys(("Zl", "Zp"), "a line separator"))

Verb = t.Literal["added", "updated", "kept", "removed", "absent"]
_IMPERATIVE = {"added": "add", "updated": "update", "kept": "keep", "removed": "remove", "absent": "leave out"}


@dataclasses.dataclass(frozen=True)
class User:
    """One wanted user; `present=False` asks for its removal and needs no password."""

    name: str
    password: str | None = dataclasses.field(default=None, repr=False)
    present: bool = True


@dataclasses.dataclass(frozen=True)
class Step:
    """What happens to one user, and why. Holds no secret."""

    name: str
    verb: Verb
    reason: str = ""

    def __str__(self) -> str:
        return f"{_IMPERATIVE[self.verb]} {self.name}" + (f" ({self.reason})" if self.reason else "")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The new text and the way to it."""

    before: str = dataclasses.field(repr=False)
    text: str = dataclasses.field(repr=False)
    steps: tuple[Step, ...]

    @property
    def changed(self) -> bool:
        """Whether the new text differs from the existing one."""
        return self.text != self.before

    @property
    def actions(self) -> list[str]:
        """What is done, one line per user that changes, in order."""
        return [str(step) for step in self.steps if step.verb in ("added", "updated", "removed")]

    def diff(self) -> dict[str, str]:
        """Return user names before and after; a replaced hash shows as the reason beside the name."""
        steps = {step.name: step for step in self.steps}
        before = _names(self.before)
        after = [
            f"{name} ({steps[name].reason})" if name in steps and steps[name].verb == "updated" else name
            for name in _names(self.text)
        ]
        return {"before": "".join(f"{name}\n" for name in before), "after": "".join(f"{name}\n" for name in after)}


@dataclasses.dataclass(frozen=True)
class _Line:
    number: int
    raw: str
    kind: t.Literal["entry", "malformed", "other"]
    name: str = ""
    hash: str = ""


def users_from(items: Iterable[Mapping[str, t.Any]]) -> list[User]:
    """Build users from dictionaries with `name`, `password` and `state`; other keys are ignored."""
    return [User(item["name"], item.get("password"), (item.get("state") or "present") == "present") for item in items]


def check_name(name: str) -> None:
    """Refuse a user name that the server or a client could not carry.

    Raises:
        HtpasswdError: naming the name (escaped) and the rule it breaks.
    """
    problem = _name_problem(name)
    if problem:
        raise HtpasswdError(
            "accept a user name",
            where=ascii(name),
            got=f"the name {problem}",
            remedy=f"Use 1 to {MAX_NAME_BYTES} bytes of UTF-8 without colons, control characters or outer white space.",
        )


def check_password(name: str, password: str) -> None:
    """Refuse a password that bcrypt would cut or that no client could send.

    Raises:
        HtpasswdError: naming the user and the rule, never the password.
    """
    problem = ""
    if not password:
        problem = "the password is empty"
    elif kind := _refused_character(password):
        problem = f"the password contains {kind}"
    elif (size := len(password.encode())) > MAX_PASSWORD_BYTES:
        problem = f"the password has {size} bytes and bcrypt uses only the first {MAX_PASSWORD_BYTES}"
    if problem:
        raise HtpasswdError(
            "accept a password",
            where=f"user {name}",
            got=problem,
            remedy=f"Use 1 to {MAX_PASSWORD_BYTES} bytes of UTF-8 without control characters.",
        )


def plan(text: str, users: Sequence[User], *, cost: int = DEFAULT_COST, exclusive: bool = False) -> Plan:
    """Work out the text in which `users` can log in.

    A hash that verifies and has the right cost is kept. Comments, blank lines and other users stay byte for byte,
    unless `exclusive`, which leaves nothing but the present users.

    Args:
        text: the existing htpasswd text, empty for a new one.
        users: wanted users; each name at most once.
        cost: bcrypt cost, the base-2 logarithm of the number of rounds, 4 to 17.
        exclusive: drop everything that belongs to no present user.

    Raises:
        HtpasswdError: on bad users or cost, or when a line that would stay is not a valid bcrypt entry.
        MissingLibraryError: when libpass or bcrypt is not usable.
    """
    wanted = _check_users(users)
    if not MIN_COST <= cost <= MAX_COST:
        raise HtpasswdError(
            "use the bcrypt cost",
            where=f"cost {cost}",
            got="it is out of range",
            remedy=f"Choose {MIN_COST} to {MAX_COST}; each step doubles the time of every request.",
        )
    lines, removed = _select(parse(text), wanted, exclusive)
    current = {line.name: line.hash for line in lines if line.kind == "entry"}
    present = [user for user in users if user.present]
    hashes: dict[str, str] = {}
    steps: list[Step] = []
    for user, (new, verb, reason) in zip(present, _renew_all(present, current, cost), strict=True):
        hashes[user.name] = new
        steps.append(Step(user.name, verb, reason))
    steps += [Step(name, "removed") for name in removed]
    steps += [Step(user.name, "absent") for user in users if not user.present and user.name not in removed]
    return Plan(text, _compose(lines, hashes), tuple(steps))


def parse(text: str) -> list[_Line]:
    """Split a text the way Distribution does: at line feeds, trimmed, `#` starts a comment, the last duplicate wins."""
    lines = []
    for number, raw in enumerate(re.findall(r"[^\n]*\n|[^\n]+\Z", text), start=1):
        entry = raw.strip()
        name, colon, digest = entry.partition(":")
        if not entry or entry.startswith("#"):
            lines.append(_Line(number, raw, "other"))
        elif not colon:
            lines.append(_Line(number, raw, "malformed"))
        else:
            lines.append(_Line(number, raw, "entry", name, digest))
    return lines


def _names(text: str) -> list[str]:
    return [line.name for line in parse(text) if line.kind == "entry"]


def _refused_character(text: str) -> str:
    for character in text:
        kind = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if kind:
            return kind
    return ""


def _name_problem(name: str) -> str:
    if not name:
        return "is empty"
    if kind := _refused_character(name):
        return f"contains {kind}"
    if ":" in name:
        return "contains a colon"
    if name != name.strip():
        return "begins or ends with white space"
    if name.startswith("#"):
        return "begins with #, which makes the line a comment"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return ""


def _check_users(users: Sequence[User]) -> dict[str, User]:
    wanted: dict[str, User] = {}
    for user in users:
        check_name(user.name)
        if user.name in wanted:
            raise HtpasswdError(
                "accept the users",
                where=f"user {user.name}",
                got="the name is listed twice",
                remedy="List each user once.",
            )
        wanted[user.name] = user
        if user.present:
            check_password(user.name, user.password or "")
    return wanted


def _select(lines: list[_Line], wanted: Mapping[str, User], exclusive: bool) -> tuple[list[_Line], list[str]]:
    """Return the lines that stay (to be rewritten or not) and the names that go, each once, in order."""
    kept: list[_Line] = []
    removed: dict[str, None] = {}
    seen: dict[str, int] = {}
    for line in lines:
        user = wanted.get(line.name) if line.kind == "entry" else None
        if (user and not user.present) or (exclusive and not user):
            if line.kind == "entry":
                removed[line.name] = None
            continue
        if line.kind == "entry":
            if line.name in seen and not exclusive:
                raise _bad_line(
                    line, f"user {line.name!a} already has line {seen[line.name]}", "Remove one of the two lines."
                )
            if line.name in seen:
                # The server uses the last of several lines, so that is the one to judge.
                kept = [other for other in kept if other.name != line.name]
            seen[line.name] = line.number
        if not user:
            _check_foreign(line)
        kept.append(line)
    return kept, list(removed)


def _check_foreign(line: _Line) -> None:
    """Refuse a line that would stay although the server cannot use it."""
    if line.kind == "malformed":
        raise _bad_line(line, "the line has no colon", "Correct or remove the line.")
    if line.kind == "entry":
        if problem := _name_problem(line.name):
            raise _bad_line(line, f"the user name {line.name!a} {problem}", "Correct or remove the line.")
        if not _BCRYPT.fullmatch(line.hash):
            raise _bad_line(
                line,
                f"the entry of user {line.name} is not bcrypt ({_scheme(line.hash)}), so this user could never log in",
                "Give this user a password here so that the entry is replaced, or remove the line.",
            )


def _bad_line(line: _Line, got: str, remedy: str) -> HtpasswdError:
    return HtpasswdError("keep an existing line", where=f"line {line.number}", got=got, remedy=remedy)


def _scheme(digest: str) -> str:
    """Name a foreign password scheme without showing any of its hash."""
    for prefix, name in (
        ("$apr1$", "Apache MD5"),
        ("$1$", "MD5 crypt"),
        ("$5$", "SHA-256 crypt"),
        ("$6$", "SHA-512 crypt"),
        ("{SHA}", "SHA-1"),
        ("$2", "a damaged or outdated bcrypt form"),
    ):
        if digest.startswith(prefix):
            return name
    return "plain text, crypt or unknown"


def _renew_all(users: Sequence[User], current: Mapping[str, str], cost: int) -> list[tuple[str, Verb, str]]:
    if not users:
        return []
    handler = load_bcrypt()
    hasher = handler.using(rounds=cost, ident="2y", truncate_error=True)

    def renew(user: User) -> tuple[str, Verb, str]:
        return _renew(hasher, user.password or "", current.get(user.name), cost)

    # Every template that uses a filter of this collection loads this file, and hardly any hashes.
    from concurrent.futures import ThreadPoolExecutor

    # bcrypt releases the interpreter lock, so threads use every core.
    with ThreadPoolExecutor(max_workers=min(_cpus(), len(users))) as pool:
        return list(pool.map(renew, users))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _renew(hasher: BcryptHandler, password: str, current: str | None, cost: int) -> tuple[str, Verb, str]:
    """Return the hash to store, and what and why; verifies only where nothing else forces a new hash."""
    if current is None:
        return hasher.hash(password), "added", ""
    match = _BCRYPT.fullmatch(current)
    if not match or current[28] not in _SALT_ENDS or current[-1] not in _CHECKSUM_ENDS:
        return hasher.hash(password), "updated", "was not a valid bcrypt hash"
    if int(match.group(1)) != cost:
        return hasher.hash(password), "updated", f"cost {int(match.group(1))} to {cost}"
    if not hasher.verify(password, current):
        return hasher.hash(password), "updated", "new password"
    return current, "kept", ""


def _compose(lines: Sequence[_Line], hashes: Mapping[str, str]) -> str:
    parts: list[str] = []
    pending = dict(hashes)
    for line in lines:
        new = pending.pop(line.name, None) if line.kind == "entry" else None
        parts.append(line.raw if new in (None, line.hash) else f"{line.name}:{new}\n")
    if pending and parts and not parts[-1].endswith("\n"):
        parts[-1] += "\n"
    parts += [f"{name}:{digest}\n" for name, digest in pending.items()]
    return "".join(parts)
