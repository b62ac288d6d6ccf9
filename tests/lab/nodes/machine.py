# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine of its own for a test: a real containerd with its sockets and stores, and its own /etc/hosts and /var/lib.

It is a private mount namespace on this machine. The module runs in it as a process, by its real entry point.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import yaml

from ansible_collections.homeport.registry.plugins.modules import node_trust

ROOT = Path(__file__).parents[3]
RUNNER = Path(__file__).with_name("run_module.py")
# A shell's words that run containerd once; whoever reads the file finds a whole number in it, or the one before.
RUN_ONCE = (
    '"$0" --config "$1" --log-level info >>"$3/log" 2>&1 & echo $! >"$3/pid.new"; mv "$3/pid.new" "$3/pid"; wait $!'
)
TRANSFER = """
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  differ = "walking"
  platform = "linux"
  snapshotter = "native"
"""
Result = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Programs:
    """containerd, its ctr, and crictl; crictl empty for a node that lacks it."""

    containerd: str
    ctr: str
    crictl: str
    version: tuple[int, ...]

    @property
    def table(self) -> str:
        """Return the table that holds config_path in this version's own kind of file."""
        cri = "io.containerd.grpc.v1.cri" if self.version < (2,) else "io.containerd.cri.v1.images"
        return f'[plugins."{cri}".registry]'

    @property
    def file_version(self) -> int:
        """Return the version of that kind of file."""
        return 2 if self.version < (2,) else 3


class Machine:
    """A node without a kubelet."""

    def __init__(self, folder: Path, programs: Programs, *, more: str = "", config: str | None = None) -> None:
        """Write the configuration.

        Args:
            folder: for everything; short, since it holds a socket.
            programs: what to run.
            more: added to the usual configuration.
            config: instead of the usual configuration.
        """
        self.folder, self.programs = folder, programs
        self.options: dict[str, t.Any] = {}
        self.endpoint = str(folder / "c.sock")
        self.root = folder / "etc" / "certs.d"
        self.hosts = folder / "hosts"
        self.record = folder / "record" / "node_trust.json"
        self.config = folder / "etc" / "config.toml"
        self.config.parent.mkdir(parents=True)
        self.hosts.write_text("127.0.0.1 localhost depot.test\n")
        self.config.write_text(self.usual(more) if config is None else config)
        self.pid_file = folder / "pid"
        self._holder: subprocess.Popen[bytes] | None = None

    def usual(self, more: str = "") -> str:
        """Return a configuration with comments, without config_path."""
        old = self.programs.version < (2,)
        # The native snapshotter works everywhere, but version 2 has to be told twice.
        more = f"{'' if old else TRANSFER}{more}"
        cri = '"io.containerd.grpc.v1.cri".containerd' if old else '"io.containerd.cri.v1.images"'
        return (
            f"# a node of the tests\nversion = {self.programs.file_version}\n"
            f'root = "{self.folder}/root"\nstate = "{self.folder}/state"\n'
            f'[grpc]\n  address = "{self.endpoint}" # its socket\n'
            f'[plugins.{cri}]\n  snapshotter = "native" # works everywhere\n{more}'
        )

    def with_root(self) -> str:
        """Return what `more` has to be for a machine that reads certs.d."""
        return f'{self.programs.table}\n  config_path = "{self.root}"\n'

    def start(self) -> None:
        """Start containerd and wait until CRI answers."""
        self.start_and_wait(60)

    def start_and_wait(self, seconds: float) -> None:
        """Start containerd. Raises AssertionError when CRI does not answer in so many seconds."""
        script = f'mount --make-rprivate / && mount --bind "$2" /etc/hosts && while :; do {RUN_ONCE}; sleep 0.1; done'
        self._enter(script, self.programs.containerd, str(self.config), str(self.hosts), str(self.folder))
        self.wait(seconds)

    def _enter(self, script: str, *arguments: str) -> None:
        """Make the machine's namespace by a script in it, whose end is the machine's."""
        command = ["unshare", "--mount", "sh", "-c", script, *(arguments or [str(self.folder)])]
        self._holder = subprocess.Popen(command, start_new_session=True)

    def wait(self, seconds: float) -> None:
        """Wait until CRI answers. Raises AssertionError when it does not."""
        deadline = time.monotonic() + seconds
        # Its own file may be later than it is, and nothing would be ended by it then.
        while not self.pid_file.exists() or self.ctr("plugins", "ls").returncode or not self.cri_is_ok():
            if time.monotonic() > deadline:
                raise AssertionError(self.last_words())
            time.sleep(0.1)

    def last_words(self) -> str:
        """Return the end of what the runtime logged."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else ["no log"]
        # containerd logs each of its plugins at each start.
        return "\n".join([line for line in lines if " plugin" not in line][-60:])

    def cri_is_ok(self) -> bool:
        """Tell whether containerd says that its CRI plugin runs."""
        lines = self.ctr("plugins", "ls").stdout.splitlines()
        return [line.split()[-1] for line in lines if line.startswith("io.containerd.grpc.v1") and " cri " in line] == [
            "ok"
        ]

    def stop(self) -> None:
        """End containerd and its supervisor."""
        if self._holder:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._holder.pid, signal.SIGKILL)
            self._holder.wait()

    @property
    def pid(self) -> int:
        """Return the process of containerd."""
        return int(self.pid_file.read_text())

    @property
    def restart_command(self) -> list[str]:
        """Return a command that ends containerd; its supervisor starts it again."""
        script = 'old=$(cat "$0") || exit; kill "$old"; while kill -0 "$old" 2>/dev/null; do sleep 0.05; done'
        return ["sh", "-c", script, str(self.pid_file)]

    def inside(self, *command: str, **options: t.Any) -> subprocess.CompletedProcess[str]:
        """Run a program in the machine."""
        assert self._holder
        enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, **options)

    def cover(self, text: str, path: str) -> None:
        """Let a file that exists have this text in the machine alone."""
        cover = self.folder / "cover"
        cover.write_text(text)
        done = self.inside("mount", "--bind", str(cover), path)
        assert not done.returncode, done.stderr

    def pretend(self, path: str, text: str = "") -> None:
        """Let a file with this text be there in the machine alone."""
        top = f"/{path.split('/')[1]}"
        layers = [self.folder / name for name in ("upper", "work")]
        for layer in layers:
            layer.mkdir()
        options = f"lowerdir={top},upperdir={layers[0]},workdir={layers[1]}"
        script = 'mount -t overlay overlay -o "$0" "$1" && mkdir -p "${2%/*}" && printf %s "$3" >"$2"'
        done = self.inside("sh", "-c", script, options, top, path, text)
        assert not done.returncode, done.stderr

    def ctr(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ctr."""
        command = [self.programs.ctr, "--address", self.endpoint, "--namespace", "k8s.io", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def pull(self, image: str, account: str = "") -> str:
        """Pull by CRI as kubelet would, with a pull secret if one is given; return the error, or an empty text."""
        url = f"unix://{self.endpoint}"
        crictl = [self.programs.crictl, "--timeout=60s", f"--runtime-endpoint={url}", f"--image-endpoint={url}"]
        done = self.inside(*crictl, "pull", *(["--creds", account] if account else []), image)
        return (done.stderr or "failed") if done.returncode else ""

    def run(self, *, check: bool = False, **options: t.Any) -> Result:
        """Run the module in the machine and return its result, which is compared with RETURN. It must succeed."""
        result = self.attempt(check=check, **options)
        assert not result.get("failed"), f"{result['msg']}\n{self.last_words()}"
        undocumented = set(result) - set(yaml.safe_load(node_trust.RETURN)) - {"changed", "diff", "invocation"}
        assert not undocumented - {"warnings"}
        return result

    def refuse(self, *, check: bool = False, **options: t.Any) -> Result:
        """Run the module, which must fail and leave every file as it is; return the result."""
        before = self.snapshot()
        result = self.attempt(check=check, **options)
        assert result.get("failed"), result
        assert self.snapshot() == before
        return result

    def attempt(self, *, check: bool, **options: t.Any) -> Result:
        """Run the module in the machine and return what it says."""
        given = {"runtime_endpoint": self.endpoint, "record": str(self.record), "timeout": 5, **options}
        return self.run_module("node_trust", check=check, **given)

    def run_module(self, name: str, *, check: bool = False, **options: t.Any) -> Result:
        """Run any module of the collection in the machine and return what it says."""
        arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp"}
        path = os.environ["PATH"]
        if self.programs.crictl:
            path = f"{Path(self.programs.crictl).parent}:{path}"
        env = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = self.inside(sys.executable, str(RUNNER), name, input=json.dumps(arguments), env=env)
        assert done.stdout, done.stderr
        result: Result = json.loads(done.stdout)
        return result

    def snapshot(self) -> dict[str, bytes]:
        """Return every file of the machine that a run may write."""
        places = [self.config.parent, self.hosts, self.record.parent]
        files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}
