# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One upload session, step by step, as a client library does it."""

from __future__ import annotations

import subprocess

from tests.verify.clients import Answer, Client
from tests.verify.cluster import eventually
from tests.verify.registry import Account

OCTETS = ("-H", "Content-Type: application/octet-stream")


class Session:
    """An upload session of a repository; location is where its next step goes to."""

    def __init__(self, client: Client, account: Account, repository: str) -> None:
        """Start a session."""
        self.client, self.account, self.repository = client, account, repository
        started = self._ask(f"/v2/{repository}/blobs/uploads/", "-X", "POST")
        assert started.status == 202, started
        self.location = started.headers["location"]

    def _ask(self, path: str, *options: str) -> Answer:
        """Return the answer, asking again as long as the gate says so: a restarted writer comes and goes once more."""
        answers: list[Answer] = []

        def told() -> bool:
            answers.append(self.client.http(path, *options, account=self.account))
            return answers[-1].status != 503

        eventually(told, f"{path} is not refused with 503", seconds=30)
        return answers[-1]

    def _step(self, *options: str, query: str = "") -> Answer:
        answer = self._ask(self.location + query, *options)
        self.location = answer.headers.get("location", self.location)
        return answer

    def patch(self, path: str) -> Answer:
        """Send a chunk."""
        return self._step("-X", "PATCH", *OCTETS, "--data-binary", f"@{path}")

    def patch_slowly(self, path: str) -> subprocess.Popen[str]:
        """Start to send a chunk at 256 KiB a second; the process prints the status in the end."""
        words = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PATCH", *OCTETS, "--limit-rate", "256k")
        url = f"http://{self.client.registry.host}{self.location}"
        return self.client.start('"$@"', *words, "-u", str(self.account), "-T", path, url)

    def state(self) -> Answer:
        """Ask how much has arrived."""
        return self._step()

    def finish(self, digest: str, *options: str) -> Answer:
        """Close the session with the digest of the blob; the options may send its last bytes."""
        return self._step("-X", "PUT", *options, query=f"{'&' if '?' in self.location else '?'}digest={digest}")
