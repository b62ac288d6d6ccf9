# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that pushes without a pause and keeps a list of what the registry acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

from tests.verify.clients import RANDOM_LAYOUT, WORK, Client
from tests.verify.cluster import eventually
from tests.verify.oci import MANIFEST
from tests.verify.registry import Account

PUSH_LOOP = (Path(__file__).parent / "push-loop.sh").read_text(encoding="utf-8")
# How often each thing is broken. Two rounds show that it works, two hundred are for a night.
ROUNDS = int(os.environ.get("HOMEPORT_FAULT_ROUNDS", "2"))


class PushLoop:
    """Pushes images of so many bytes while a with block runs; each is tried until it is acknowledged."""

    def __init__(self, client: Client, account: Account, repository: str, size: int = 48 << 20) -> None:
        """Take the repository to push to, which nobody else uses."""
        self.client, self.account, self.repository, self.size = client, account, repository, size
        self.folder = f"{WORK}/pushing-{repository.replace('/', '-')}"

    def __enter__(self) -> PushLoop:
        """Start, and wait for the first push to be acknowledged."""
        self.client.script('rm -rf "$1"', self.folder)
        reference = self.client.reference(self.repository)
        arguments = (str(self.account), reference, str(self.size), self.folder, RANDOM_LAYOUT)
        self.process = self.client.start(PUSH_LOOP, *arguments)
        self.wait_for_more(0)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_details: object) -> None:
        """Stop after the push that is under way; it has a minute."""
        self.client.script('touch "$1/stop"', self.folder)
        output, _unused = self.process.communicate(timeout=60)
        if failure is None:
            assert self.process.returncode == 0, output

    def _lines(self, name: str) -> list[str]:
        return self.client.script('cat "$1" 2>/dev/null || true', f"{self.folder}/{name}").splitlines()

    def acknowledged(self) -> dict[str, str]:
        """Return the digest of every acknowledged image by its tag."""
        return dict(line.split() for line in self._lines("acknowledged"))

    def refusals(self) -> list[str]:
        """Return what skopeo said when it was refused: before it waited, or because it gave up."""
        return [line for line in self._lines("said") if "level=fatal" in line or "Too many requests" in line]

    def wait_for_more(self, count: int, seconds: int = 60) -> None:
        """Wait until more than so many pushes were acknowledged."""
        waiting = 'end=$(( $(date +%s) + $3 )); until [ "$(cat "$1/acknowledged" 2>/dev/null | wc -l)" -gt "$2" ]; do'
        waiting += ' [ "$(date +%s)" -lt "$end" ] || { cat "$1/said"; exit 1; }; sleep 0.1; done'
        self.client.script(waiting, self.folder, str(count), str(seconds), timeout=seconds + 30)

    def wait_for_refusals(self, count: int, seconds: int = 60) -> None:
        """Wait until so many more requests were refused with 429."""

        def refused() -> int:
            # In words while it waits, by its code when it gives up.
            return sum("Too many requests" in line or "toomanyrequests" in line for line in self.refusals())

        before = refused()
        eventually(lambda: refused() >= before + count, "pushes are refused with 429", seconds=seconds)

    def verify(self, reader: Account) -> int:
        """Pull every acknowledged image, of which skopeo checks all digests, and return how many there were."""
        acknowledged = self.acknowledged()
        for tag, digest in acknowledged.items():
            options = ("-I", "-H", f"Accept: {MANIFEST}")
            shown = self.client.http(f"/v2/{self.repository}/manifests/{tag}", *options, account=reader)
            assert shown.headers.get("docker-content-digest") == digest, (tag, shown)
            pulled = self.client.pull(f"{self.repository}@{digest}", f"dir:{self.folder}/back", reader)
            assert pulled.rc == 0, (tag, pulled.stderr)
        return len(acknowledged)
