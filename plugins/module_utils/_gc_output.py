# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What `registry garbage-collect` prints, and what its failures mean. Private.

Exit status 0 alone proves nothing: an unknown flag also ends with 0, after a usage text.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

DIGEST = r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})"
_MARK = re.compile(rf"^(?P<repository>\S+): marking (?P<kind>manifest|blob) (?P<digest>{DIGEST})")
_LINK = re.compile(rf"^(?P<repository>\S+): layer link eligible for deletion: (?P<digest>{DIGEST})$")
_BLOB = re.compile(rf"^blob eligible for deletion: (?P<digest>{DIGEST})$")
# The bare digest is how 2.8 says it.
_MANIFEST = re.compile(rf"^manifest eligible for deletion: (?:\{{(?P<repository>\S+) )?(?P<digest>{DIGEST})")
_SUMMARY = re.compile(
    r"^(?P<marked>\d+) blobs marked, (?P<blobs>\d+) blobs and (?P<manifests>\d+) manifests eligible for deletion$"
)


@dataclasses.dataclass
class Collected:
    """One run of the collector.

    marked: digests of everything that stays. manifests: the marked ones that were named as manifests.
    blobs: digests that go, or would. untagged: manifests that go, by repository, "" where the version does not say.
    links: digests that leave a repository, by repository; 2.8 says nothing of them. counts: of the summary line.
    """

    marked: set[str] = dataclasses.field(default_factory=set)
    manifests: set[str] = dataclasses.field(default_factory=set)
    blobs: set[str] = dataclasses.field(default_factory=set)
    untagged: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    links: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    counts: tuple[int, int, int] | None = None

    @property
    def summary(self) -> bool:
        """Tell whether the summary line was there."""
        return self.counts is not None

    @property
    def eligible(self) -> int:
        """Return how many blobs, manifests and links go, or would."""
        return len(self.blobs) + sum(map(len, self.untagged.values())) + sum(map(len, self.links.values()))

    def feed(self, line: str) -> bool:
        """Take in one line of output, and tell whether it is one of those that are known."""
        line = line.rstrip("\n")
        if mark := _MARK.match(line):
            self.marked.add(mark["digest"])
            if mark["kind"] == "manifest":
                self.manifests.add(mark["digest"])
        elif blob := _BLOB.match(line):
            self.blobs.add(blob["digest"])
        elif link := _LINK.match(line):
            self.links.setdefault(link["repository"], set()).add(link["digest"])
        elif manifest := _MANIFEST.match(line):
            self.untagged.setdefault(manifest["repository"] or "", set()).add(manifest["digest"])
        elif summary := _SUMMARY.match(line):
            self.counts = (int(summary["marked"]), int(summary["blobs"]), int(summary["manifests"]))
        else:
            return False
        return True


def parse(lines: Iterable[str]) -> Collected:
    """Return what the lines of a run say."""
    found = Collected()
    for line in lines:
        found.feed(line)
    return found


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What a failed run means. kind: a stable word, "empty" for a store without any image."""

    kind: str
    got: str
    remedy: str


_REPAIR = "Find the file in `problems` of the report, remove it and push the image again."
_KNOWN = (
    (
        r"Path not found: \S*/repositories\b",
        Diagnosis("empty", "the store holds no repository", "Check the mount, and `rootdirectory` of the registry."),
    ),
    (
        r"error enumerating blobs.*Path not found|Path not found: \S*/blobs\b",
        Diagnosis("empty", "the store holds no blob", "Check the mount, and `rootdirectory` of the registry."),
    ),
    (
        r"invalid checksum digest format|invalid digest|digest.*(?:empty|invalid)",
        Diagnosis("link-damaged", "a link file of the store is empty or damaged, as after a crash", _REPAIR),
    ),
    (
        r"unexpected end of JSON input|EOF|no contents|unrecognized manifest",
        Diagnosis("manifest-empty", "a manifest of the store is empty or damaged, as after a crash", _REPAIR),
    ),
    (
        r"invalid reference format|failed to parse repo name|repository name",
        Diagnosis(
            "repository-name",
            "a directory in the store has a name that no repository can have",
            "Move that directory out of `docker/registry/v2/repositories`.",
        ),
    ),
    (
        r"no space left on device|disk quota exceeded",
        Diagnosis("disk-full", "the volume is full", "Make the volume bigger, or remove unfinished uploads."),
    ),
    (
        r"permission denied|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|403",
        Diagnosis(
            "access", "the store refuses access", "Check the credentials, or the owner of the files (uid 65532)."
        ),
    ),
    (
        r"no such host|connection refused|i/o timeout|connection reset|TLS|x509",
        Diagnosis("unreachable", "the store does not answer", "Check endpoint, certificate and network policy."),
    ),
)


def telling(text: str, lines: int = 1) -> str:
    """Return what a program's last words tell: its panic, which is followed by a trace, or else its last lines."""
    printed = [line.rstrip() for line in text.splitlines() if line.strip()]
    panics = [line for line in printed if line.startswith(("panic: ", "fatal error: "))]
    return " ".join(panics[-1:] or printed[-lines:])


def diagnose(code: int, errors: str, output: Collected) -> Diagnosis | None:
    """Return what is wrong with a run, nothing when it did what it should.

    Args:
        code: exit status, negative for the signal that ended it.
        errors: the end of what it printed to stderr and, for texts that are no known lines, stdout.
        output: the parsed stdout.
    """
    if code == 0 and output.summary:
        return None
    last = telling(errors)[:500] or "nothing was printed"
    if code < 0:
        return Diagnosis("killed", f"the collector was ended by signal {-code}", "Look at memory limit and node.")
    for pattern, diagnosis in _KNOWN:
        if code and re.search(pattern, errors):
            return dataclasses.replace(diagnosis, got=f"{diagnosis.got} ({last})")
    if code == 0:
        return Diagnosis(
            "no-summary",
            f"the collector ended with status 0 but without its summary, so it did not collect ({last})",
            "Check that `registry_gc_binary` is CNCF Distribution 2.8 or 3, which this engine knows.",
        )
    return Diagnosis("unknown", f"the collector ended with status {code} ({last})", "Look into the log of the Job.")
