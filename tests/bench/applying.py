# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply one registry by the site playbook and by other tools: first run, no change, one change."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.clock import Sample, Say, interleave, summary, timed
from tests.bench.release import Site, applied_objects, relay_kubeconfig, through_relay
from tests.bench.rivals import Objects, Programs, Rival, in_namespace, rivals
from tests.lab.apply.relay import Relay

PREFIX = "bench"
SITE = "site"
FLOOR = "empty"
# What the aims compare with: a no-op of helm, and one task per object.
HELM = "helm"
EACH = "task-each"


class ApplyBench:
    """One comparison in one work folder; every contender has a namespace of its own."""

    def __init__(self, folder: Path, programs: Programs, say: Say) -> None:
        self.folder = folder
        self.programs = programs
        self.say = say
        shutil.rmtree(folder, ignore_errors=True)
        self.site = Site(folder / "site", f"{PREFIX}-site")
        self.rivals: Mapping[str, Rival] = rivals(folder, programs, self.site.playbook(), PREFIX)
        self.env = {
            **os.environ,
            "K8S_AUTH_KUBECONFIG": os.environ["KUBECONFIG"],
            "KUBECACHEDIR": str(folder / "kubecache"),
            **{f"HELM_{name}_HOME": str(folder / f"helm-{name.lower()}") for name in ("CACHE", "CONFIG", "DATA")},
        }
        self.objects: Objects = []

    def run(self, rounds: int, first_rounds: int) -> dict[str, Any]:
        """Measure everything; remove what was made; return the results for JSON."""
        try:
            self._start()
            results = {
                "objects": dict(sorted(Counter(item["kind"] for item in self.objects).items())),
                "titles": {
                    FLOOR: "a playbook without tasks",
                    SITE: "**`homeport.registry.site`**",
                    **{name: rival.title for name, rival in self.rivals.items()},
                },
                "requests": self._count_requests(),
            }
            self.say(f"no change, {rounds} rounds")
            no_op = self._contenders(lambda number: "same")
            results["no-op"] = self._measure(rounds, {FLOOR: self._timer(lambda number: [self.site.empty()]), **no_op})
            self.say(f"one label of one object changes, {rounds} rounds")
            results["one change"] = self._measure(rounds, self._contenders(lambda number: f"round-{number}"))
            self.say(f"first run until every pod is ready, {first_rounds} rounds")
            results["first run"] = self._measure(first_rounds, self._first_contenders())
        finally:
            self._clean()
        return results

    def _start(self) -> None:
        self.say("bringing every contender's release up")
        self._clean()
        self._timed([self.site.command("same")])
        relay = Relay(Path(os.environ["KUBECONFIG"]))
        try:
            command = self.site.command("same", str(relay_kubeconfig(relay, self.folder)))
            self.objects = applied_objects(through_relay(command, self.env, relay, self.folder))
        finally:
            relay.close()
        for rival in self.rivals.values():
            self._write(rival, "same")
            self._timed(rival.first)
            # The second run settles what a first one leaves open, such as discovery caches.
            self._timed(rival.again)

    def _write(self, rival: Rival, label: str) -> None:
        rival.write(in_namespace(self.objects, rival.namespace, label))

    def _timed(self, commands: Sequence[Sequence[str]]) -> Sample:
        return timed(commands, self.env, self.folder / "last.log")

    def _timer(self, commands: Callable[[int], Sequence[Sequence[str]]]) -> Callable[[int], Sample]:
        return lambda number: self._timed(commands(number))

    def _contenders(self, label: Callable[[int], str]) -> dict[str, Callable[[int], Sample]]:
        def again(rival: Rival, number: int) -> Sample:
            self._write(rival, label(number))
            return self._timed(rival.again)

        found = {SITE: self._timer(lambda number: [self.site.command(label(number))])}
        return found | {name: functools.partial(again, rival) for name, rival in self.rivals.items()}

    def _first_contenders(self) -> Mapping[str, Callable[[int], Sample]]:
        def first(namespace: str, commands: Sequence[Sequence[str]], number: int) -> Sample:
            self._remove(namespace)
            sample = self._timed(commands)
            # The next contender starts on the same machine: without the pods of this one.
            self._remove(namespace)
            return sample

        self._clean()
        for rival in self.rivals.values():
            self._write(rival, "same")
        found = {SITE: functools.partial(first, self.site.namespace, [self.site.command("same")])}
        for name, rival in self.rivals.items():
            found[name] = functools.partial(first, rival.namespace, rival.first)
        return found

    def _measure(self, rounds: int, contenders: Mapping[str, Callable[[int], Sample]]) -> dict[str, dict[str, float]]:
        return {name: summary(samples) for name, samples in interleave(rounds, contenders, self.say).items()}

    def _count_requests(self) -> dict[str, dict[str, int]]:
        self.say("counting the API requests of a repeated run")
        relay = Relay(Path(os.environ["KUBECONFIG"]))
        counts = {}
        try:
            commands = {name: rival.again for name, rival in self.rivals.items()}
            commands[SITE] = [self.site.command("same", str(relay_kubeconfig(relay, self.folder)))]
            for name, (command,) in commands.items():
                # The first run through the relay fills caches that are kept per address.
                through_relay(command, self.env, relay, self.folder)
                seen = through_relay(command, self.env, relay, self.folder)
                counts[name] = dict(sorted(Counter(request.method for request in seen).items()))
        finally:
            relay.close()
        return counts

    def _remove(self, *namespaces: str) -> None:
        if self.rivals[HELM].namespace in namespaces:
            uninstall = [self.programs.helm, "uninstall", self.rivals[HELM].namespace, "--namespace", "default"]
            subprocess.run(
                [*uninstall, "--ignore-not-found"], env=self.env, check=True, capture_output=True, timeout=300
            )
        delete = [self.programs.kubectl, "delete", "namespace", *namespaces, "--ignore-not-found", "--wait"]
        subprocess.run(delete, env=self.env, check=True, capture_output=True, timeout=300)

    def _clean(self) -> None:
        self._remove(self.site.namespace, *(rival.namespace for rival in self.rivals.values()))


def aims(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the site playbook should reach, and what it reached, as ratios of medians in the same rounds."""
    no_op = results["no-op"]
    ours = no_op[SITE]["median"]
    return [
        {"aim": "a repeated run is faster than helm's", "wanted": 1.0, "ratio": no_op[HELM]["median"] / ours},
        {
            "aim": "a repeated run is 10 times as fast as one task per object",
            "wanted": 10.0,
            "ratio": no_op[EACH]["median"] / ours,
        },
    ]
