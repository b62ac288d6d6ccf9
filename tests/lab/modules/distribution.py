# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Distribution server as a child process on a free loopback port."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from ansible_collections.homeport.registry.plugins.module_utils._htpasswd import User, plan

from .authority import Pair


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Distribution:
    """One server. Settings follow the two processes that share a store: no cache, one secret, relative URLs."""

    def __init__(
        self,
        binary: str,
        folder: Path,
        *,
        store: Path,
        users: t.Sequence[tuple[str, str]] = (),
        tls: Pair | None = None,
        read_only: bool = False,
        deletes: bool = True,
        prefix: str = "",
        auth: dict | None = None,
        listen: str = "127.0.0.1",
        settings: dict | None = None,
    ) -> None:
        """Keep the settings.

        Args:
            binary: the server program.
            folder: for its configuration and log.
            store: the root of its storage.
            users: names and passwords; anybody may do anything without any.
            tls: certificate and key to serve https with.
            read_only: maintenance mode.
            deletes: whether deleting is allowed.
            prefix: path in front of the API.
            auth: another authentication section.
            listen: address to listen on.
            settings: further sections of the configuration.
        """
        folder.mkdir()
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}{prefix}"
        self.log = folder / "log"
        self._folder = folder
        self._command = [binary, "serve", str(folder / "config.yml")]
        self._process: subprocess.Popen[bytes] | None = None
        config: dict[str, t.Any] = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(store)},
                "delete": {"enabled": deletes},
                "maintenance": {
                    "uploadpurging": {"enabled": False, "age": "24h", "interval": "6h", "dryrun": False},
                    "readonly": {"enabled": read_only},
                },
            },
            "http": {"addr": f"{listen}:{self.port}", "secret": "only for tests", "relativeurls": True},
        }
        if prefix:
            # Relative URLs leave the prefix out.
            config["http"] |= {"prefix": prefix + "/", "relativeurls": False}
        if tls:
            config["http"]["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
        if users:
            config["auth"] = {"htpasswd": {"realm": "Test Registry", "path": str(folder / "htpasswd")}}
            text = plan("", [User(name, password) for name, password in users], cost=4).text
            (folder / "htpasswd").write_text(text)
        if auth:
            config["auth"] = auth
        config |= settings or {}
        (folder / "config.yml").write_text(yaml.safe_dump(config))

    def start(self) -> None:
        """Start and wait until the server answers."""
        with self.log.open("ab") as log:
            # Traces would go to an outside address by default.
            environment = {"OTEL_TRACES_EXPORTER": "none"}
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(self.log.read_text())
            time.sleep(0.02)

    def cpu(self) -> float:
        """Return the CPU seconds that the server has taken so far."""
        if not self._process:
            return 0.0
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Stop the server and wait for its end."""
        process, self._process = self._process, None
        if process:
            process.terminate()
            process.wait(10)

    def _answers(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with urllib.request.urlopen(self.url + "/v2/", timeout=5, context=context):
                return True
        except urllib.error.HTTPError as exc:
            return exc.code == 401
        except OSError:
            return False
