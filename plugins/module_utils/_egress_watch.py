# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run a program where it can reach only what is allowed, and say whom else it has called. Private."""

from __future__ import annotations

import dataclasses
import secrets
import sys
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._egress_callers import in_short
from ansible_collections.homeport.registry.plugins.module_utils._egress_events import Log, gathered, line_of
from ansible_collections.homeport.registry.plugins.module_utils._egress_relay import Relay, place_of
from ansible_collections.homeport.registry.plugins.module_utils._egress_sink import Sink
from ansible_collections.homeport.registry.plugins.module_utils._egress_space import FIRST_PROCESS, seal

# A name for every run, asked of the DNS, by TLS, and on a port at which nobody listens.
_CONTROL = """
import socket, ssl, sys
for port in (443, 5000):
    try:
        with socket.create_connection((sys.argv[1], port), timeout=5) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname=sys.argv[1])
    except OSError:
        pass
"""

SPEC: dict[str, dict[str, t.Any]] = {
    "argv": {"type": "list", "elements": "str", "required": True},
    "chdir": {"type": "path"},
    "environment": {"type": "dict", "default": {}},
    "allow": {"type": "list", "elements": "str", "default": []},
    "control": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 0},
}


@dataclasses.dataclass
class Run:
    """A program that ended: its exit code, output, errors, and when, in seconds since the watch began."""

    code: int
    output: str
    errors: str
    start: float
    end: float


class Watch:
    """A sealed network with somebody who listens. The thread that makes it stays in it."""

    def __init__(self, run_command: t.Callable[..., t.Any], allow: t.Sequence[str]) -> None:
        """Seal this thread and begin to listen.

        Args:
            run_command: that of an AnsibleModule.
            allow: host:port of each place that may be reached.

        Raises:
            EgressError: when that is impossible.
        """
        self._run_command = run_command
        places = [place_of(text) for text in allow]
        self.relay = Relay(places, seal(self._start))
        self.log = Log()
        self.sink = Sink(self.relay, self.log)

    def _start(self, words: t.Sequence[str], **options: t.Any) -> tuple[int, str, str]:
        try:
            code, output, errors = self._run_command(
                list(words), errors="surrogate_or_replace", handle_exceptions=False, **options
            )
        except OSError as exc:
            return 127, "", str(exc.strerror or exc)
        return code, output, errors

    def run(self, words: t.Sequence[str], *, timeout: float = 0, **options: t.Any) -> Run:
        """Run a program and everything that it starts to the end.

        Args:
            words: the program and its arguments, no shell.
            timeout: seconds, 0 for no limit.
            **options: for run_command.
        """
        limit = ["timeout", "-k", "5", f"{timeout:g}"] if timeout else []
        start = self.log.now()
        code, output, errors = self._start([sys.executable, "-c", FIRST_PROCESS, *limit, *words], **options)
        self.sink.finish()
        return Run(code, output, errors, start, self.log.now())


def watched(params: t.Mapping[str, t.Any], run_command: t.Callable[..., t.Any]) -> dict[str, t.Any]:
    """Run the command of a module's parameters between two positive controls; return the module's result.

    Raises:
        EgressError: when nothing could be run.
    """
    watch = Watch(run_command, params["allow"])
    name = f"control-{secrets.token_hex(4)}.invalid"
    control = params["control"] or [sys.executable, "-c", _CONTROL, name]
    before = watch.run(control, timeout=60)
    seen = [_seen(watch, before, "" if params["control"] else name)]
    result: dict[str, t.Any] = {"events": [], "lines": [], "rc": None, "stdout": "", "stderr": "", "seconds": 0.0}
    if all(seen):
        done = watch.run(
            params["argv"],
            timeout=params["timeout"],
            cwd=params["chdir"],
            environ_update={str(key): str(value) for key, value in params["environment"].items()},
        )
        after = watch.run(control, timeout=60)
        seen.append(_seen(watch, after, "" if params["control"] else name))
        events = gathered(watch.log.between(done.start, done.end))
        result.update(
            events=events,
            lines=[line_of(event) for event in events],
            rc=done.code,
            stdout=done.output,
            stderr=done.errors,
            seconds=round(done.end - done.start, 1),
        )
    result["control"] = [line_of(event) for event in gathered(watch.log.between(before.start, before.end))]
    result["allowed"] = [place.as_dict() for place in watch.relay.places]
    return {**result, **_verdict(params, result, all(seen), watch.log.faults)}


def _seen(watch: Watch, run: Run, name: str) -> bool:
    """Tell whether the control was seen: by every way where it is ours, by any where it is the user's."""
    events = watch.log.between(run.start, run.end)
    if not name:
        return bool(events)
    ways = {(one.kind, one.port) for one in events if name in (one.name, one.server_name)}
    by_tls = any(one.server_name == name for one in events)
    return by_tls and {("dns", 0), ("tcp", 443), ("tcp", 5000)} <= ways


def _verdict(
    params: t.Mapping[str, t.Any], result: t.Mapping[str, t.Any], seen: bool, faults: t.Sequence[str]
) -> dict[str, t.Any]:
    """Return verdict, and msg and failed where it is a failure."""
    # Without its arguments, which may hold secrets.
    what = in_short(params["argv"])
    if not seen or faults:
        reason = (
            "; ".join(faults) or f"a deliberate call was not seen ({in_short(params['control']) or 'the built-in one'})"
        )
        ran = "was not run" if result["rc"] is None else "was run"
        msg = (
            f"Nothing is proven about {what}, which {ran}: {reason}. A watch that does not see a call cannot vouch"
            " for silence. See whether this machine's programs resolve names in another way than by the DNS."
        )
        return {"verdict": "vacuous", "failed": True, "msg": msg}
    if result["events"]:
        more = len(result["lines"]) - 5
        lines = "; ".join(result["lines"][:5]) + (f"; and {more} more" if more > 0 else "")
        return {
            "verdict": "called_out",
            "failed": True,
            "msg": f"{what} called what is not allowed: {lines}. Give it from the bundle, or add the place to allow.",
        }
    if result["rc"]:
        tail = (result["stderr"].strip() or result["stdout"].strip())[-1500:]
        return {
            "verdict": "silent",
            "failed": True,
            "msg": f"{what} called nobody, and ended with exit code {result['rc']}: {tail}",
        }
    return {"verdict": "silent"}
