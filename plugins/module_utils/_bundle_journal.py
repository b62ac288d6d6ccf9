# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a push writes down while it runs: uploads to go on with after a crash, and how far it is. Private."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
import typing as t
from collections.abc import Mapping

# Smaller contents are sent again as fast as they are asked for.
_WORTH = 4 << 20
_EVERY = 1.0


def write_file(path: str, content: bytes, mode: int) -> None:
    """Put a file into place in one step.

    Raises:
        OSError: when that is not possible.
    """
    os.close(_replace(path, content, mode))


def _replace(path: str, content: bytes, mode: int = 0o600) -> int:
    """Put a file into place in one step and return it, open for more at its end; errors as in `write_file`."""
    temporary = f"{path}.{os.getpid()}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, mode)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        os.replace(temporary, path)
    except BaseException:
        os.close(handle)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return handle


def _line(document: Mapping[str, t.Any]) -> bytes:
    """Return JSON on a line of its own, also behind one that was cut off."""
    return b"\n" + json.dumps(document).encode() + b"\n"


class Journal:
    """The uploads that are under way, in a file that only its owner reads: who knows such a URL may write there.

    Each line is a JSON object of places and their uploads, null for those that are over; the last one counts.
    One process uses it at a time; another one, or one that cannot write, does without and says so in `problem`.
    """

    def __init__(self, folder: str, registry: str, bundle_sha256: str) -> None:
        """Open the journal of pushing one bundle to one registry; an empty folder keeps none."""
        self.problem = ""
        self._uploads: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._held: int | None = None
        # A file of its own, which nobody else has opened, from the first line on.
        self._file: int | None = None
        # What is over is written down with the next that begins: a URL too many is only asked in vain.
        self._over: dict[str, None] = {}
        name = hashlib.sha256(f"{registry} {bundle_sha256}".encode()).hexdigest()[:24]
        self._path = os.path.join(folder, f"push-{name}.json") if folder else ""
        if self._path:
            try:
                self._begin(folder)
            except OSError as exc:
                self.problem = (
                    f"{self._path} cannot be used, so an interrupted layer begins anew: {exc.strerror or exc}"
                )
                self._path = ""

    def _begin(self, folder: str) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._held = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            for line in stream:
                self._read(line)

    def _read(self, line: bytes) -> None:
        """Take what a line says; one that was cut off says nothing."""
        try:
            document = json.loads(line)
        except ValueError:
            return
        for place, one in document.items() if isinstance(document, dict) else ():
            if isinstance(one, dict) and "url" in one:
                self._uploads[place] = {"url": str(one["url"])}
            else:
                self._uploads.pop(place, None)

    def begun(self, repository: str, digest: str) -> str:
        """Return the URL of an upload that was begun, or nothing."""
        with self._lock:
            return self._uploads.get(f"{repository}@{digest}", {}).get("url", "")

    def note(self, repository: str, digest: str, size: int, url: str) -> None:
        """Remember an upload, or forget it without a URL."""
        if not self._path or size < _WORTH:
            return
        place = f"{repository}@{digest}"
        with self._lock:
            if not url:
                if self._uploads.pop(place, None):
                    self._over[place] = None
                return
            self._uploads[place] = {"url": url}
            self._write({**self._over, place: self._uploads[place]})

    def _write(self, news: Mapping[str, t.Any]) -> None:
        """Add a line: making a file anew for each upload would let the registry wait for the disk."""
        # A full disk must not end a push that needs no disk.
        with contextlib.suppress(OSError):
            if self._file is None:
                self._file = _replace(self._path, _line(self._uploads))
            else:
                os.write(self._file, _line(news))
        self._over.clear()

    def close(self, *, done: bool = False) -> None:
        """Let others use it; a journal of a push that is done is removed."""
        held, self._held = self._held, None
        if held is None:
            return
        if self._over and not done:
            self._write(self._over)
        if self._file is not None:
            os.close(self._file)
        if done and self._path:
            for path in (self._path, f"{self._path}.lock"):
                with contextlib.suppress(OSError):
                    os.unlink(path)
        os.close(held)


class Progress:
    """Counts bytes as they go out, and writes how far it is into a file now and then. May be used by many threads."""

    def __init__(self, path: str | None, total: int, images: int) -> None:
        """Begin.

        Args:
            path: of the file, nothing to write none.
            total: bytes that have to be sent.
            images: number of images.
        """
        self._path = path
        self._total = total
        self._images = images
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._written = float("-inf")
        self._best: dict[str, int] = {}
        self.wire = 0
        self.phase = "blobs"
        self.images_done = 0

    def sent(self, digest: str, offset: int, count: int) -> None:
        """Count bytes of a content that went out; what is sent again is no progress.

        Args:
            digest: of the content.
            offset: where in it they end.
            count: how many they are.
        """
        with self._lock:
            self.wire += count
            self._best[digest] = max(self._best.get(digest, 0), offset)
        self.write()

    def enter(self, phase: str) -> None:
        """Say what is being done now."""
        self.phase = phase
        self.write(force=True)

    def image_done(self) -> None:
        """Count an image that is whole."""
        with self._lock:
            self.images_done += 1
        self.write(force=True)

    def write(self, *, force: bool = False) -> None:
        """Write the file, at most once in a second unless forced to."""
        if not self._path:
            return
        with self._lock:
            now = time.monotonic()
            if not force and now - self._written < _EVERY:
                return
            self._written = now
            # A file that cannot be written must not end a push.
            with contextlib.suppress(OSError):
                write_file(self._path, json.dumps(self.document(now), sort_keys=True).encode() + b"\n", 0o644)

    def document(self, now: float) -> dict[str, t.Any]:
        """Return how far it is."""
        sent = min(sum(self._best.values()), self._total)
        seconds = now - self._began
        rate = sent / seconds if seconds > 0 else 0.0
        return {
            "phase": self.phase,
            "bytes_sent": sent,
            "bytes_total": self._total,
            "images_done": self.images_done,
            "images_total": self._images,
            "seconds": round(seconds, 1),
            "bytes_per_second": round(rate),
            "seconds_left": round((self._total - sent) / rate) if rate else None,
        }
