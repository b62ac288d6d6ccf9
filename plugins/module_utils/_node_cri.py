# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Proof by the runtime itself: it answers, and it pulls. Private.

Only a pull through the interface that kubelet uses shows what kubelet will see. Without an image to pull, one that
does not exist is asked for: the registry's own "not found" proves name, route and trust just as well.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import socket
import tempfile
import time
import typing as t
from urllib.parse import urlencode

from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError, UnresolvedError
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import CONTAINERD_KINDS, Runtime

NOWHERE = "homeport/health:node-trust"
# In which containerd keeps what the kubelet sees.
NAMESPACE = "k8s.io"

_LATE = "the runtime got no answer in time"
_FAILURES = (
    (r"x509|certificate|unknown authority", "the runtime does not trust the registry"),
    (r"server gave HTTP response to HTTPS client", "the registry speaks plain HTTP where the runtime expects TLS"),
    (r"no such host|server misbehaving|lookup ", "the runtime cannot resolve the registry's name"),
    (r"connection refused", "nothing listens where the runtime looks"),
    (
        r"i/o timeout|deadline exceeded|TLS handshake timeout|no end within|no route",
        _LATE,
    ),
    (r"Unimplemented|unknown service", "CRI is off in this containerd"),
)
_ANSWERS = (
    r"not found|manifest unknown|name unknown|\b40[134]\b|[Uu]nauthorized|authorization failed|denied"
    r"|authentication required|no basic auth|insufficient_scope"
)
_READY = re.compile(r'"status": true,\s*"type": "RuntimeReady"|"type": "RuntimeReady",\s*"status": true')
_NO_CRI = "its CRI plugin is"
_CRI_PLUGIN = re.compile(r"\bio\.containerd\.grpc\.v1\s+cri\b")


@dataclasses.dataclass(frozen=True)
class Proof:
    """How trust was proven: `how` is pulled or answered, `by` the program or API."""

    how: str
    by: str
    image: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


class Login(t.NamedTuple):
    """An account of the registry."""

    username: str
    password: str


def wait_ready(runtime: Runtime, seconds: float) -> None:
    """Wait until the runtime answers as the kubelet asks it.

    Raises:
        NodeError: when it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        said = _ready(runtime)
        if not said:
            return
        if time.monotonic() > deadline:
            raise NodeError(
                "see the runtime ready",
                where=runtime.endpoint or runtime.program,
                got=said,
                remedy=f"Look into its log: journalctl -u {runtime.kind}.",
            )
        time.sleep(0.3)


def _ready(runtime: Runtime) -> str:
    """Return why it is not ready, or an empty text."""
    if runtime.kind == "podman":
        return ""
    if not process.listener_of(runtime.endpoint):
        return "nobody listens on its socket"
    if _is_docker(runtime):
        return "" if _docker(runtime, "GET", "/_ping", timeout=5).startswith("OK") else "it does not answer"
    crictl = process.find_program("crictl")
    if crictl:
        done = process.run([crictl, *_endpoints(runtime), "info"], timeout=20)
        if done.code:
            return done.said
        return "" if _READY.search(done.output) else "RuntimeReady is false"
    ctr = ctr_of(runtime)
    if not ctr:
        return ""
    done = process.run([*ctr, "plugins", "ls"], timeout=20)
    if done.code:
        return done.said
    states = [line.split()[-1] for line in done.output.splitlines() if _CRI_PLUGIN.search(line)]
    return "" if states == ["ok"] else f"{_NO_CRI} {states or 'not there'}"


def wait_for_lists(runtime: Runtime, values: t.Sequence[str], seconds: float) -> None:
    """Wait until a Docker that was told to reload names these registries and mirrors.

    Raises:
        NodeError: when it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        known = _parsed(_docker(runtime, "GET", "/info")).get("RegistryConfig") or {}
        missing = [value for value in values if value not in json.dumps(known)]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise NodeError(
                "see Docker's lists in force",
                where=runtime.endpoint,
                got=f"it does not name {', '.join(missing)}",
                remedy="Look into its log: journalctl -u docker.",
            )
        time.sleep(0.2)


def pull(runtime: Runtime, image: str, login: Login | None, timeout: float, *, plain: bool = False) -> Proof:
    """Pull an image through the runtime.

    Args:
        runtime: as found.
        image: full name with a tag or digest; one that ends in NOWHERE need not exist.
        login: account for the pull.
        timeout: seconds.
        plain: whether the registry has no TLS, for programs that do not read the runtime's own files.

    Raises:
        NodeError: when the registry was not reached with trust, or has not got the image.
    """
    by, done = _pull(runtime, image, login, timeout, plain)
    if not done.code:
        return Proof("pulled", by, image)
    for pattern, meaning in _FAILURES:
        if re.search(pattern, _gist(done)):
            # Who hangs himself tells nothing about the registry.
            hangs = _ready(runtime) if meaning == _LATE else ""
            raise _hung(image, runtime, hangs) if hangs else _failure(image, by, meaning, done)
    if image.endswith(NOWHERE) and re.search(_ANSWERS, _gist(done)):
        return Proof("answered", by, image)
    raise _failure(image, by, "the pull failed", done)


def _failure(image: str, by: str, meaning: str, done: process.Done) -> NodeError:
    remedy = "Look at what the registry and its proxy logged at this moment."
    if "trust" in meaning:
        remedy = (
            "A proxy in the runtime's environment (HTTPS_PROXY) may stand between; NO_PROXY takes the name out of it."
        )
    elif "off" in meaning:
        remedy = "Look for mirrors beside config_path, and for disabled_plugins, in its configuration and drop-ins."
    elif re.search(_ANSWERS, _gist(done)):
        remedy = "Check that the image exists and that the account may pull it."
    kind = UnresolvedError if "resolve" in meaning else NodeError
    return kind(f"pull {image}", where=f"this node, by {by}", got=f"{meaning}: {_gist(done)}", remedy=remedy)


def _hung(image: str, runtime: Runtime, said: str) -> NodeError:
    return NodeError(
        f"pull {image}",
        where=f"this node, at {runtime.endpoint}",
        got=f"the runtime itself does not answer: {said}",
        remedy=f"Look into its log: journalctl -u {runtime.kind}.",
    )


def _gist(done: process.Done) -> str:
    """Return the message out of a log line."""
    found = re.findall(r'level=fatal msg="((?:[^"\\]|\\.)*)"', done.errors)
    return found[-1].replace('\\"', '"') if found else done.said


def _pull(runtime: Runtime, image: str, login: Login | None, timeout: float, plain: bool) -> tuple[str, process.Done]:
    if _is_docker(runtime):
        return "docker", _docker_pull(runtime, image, login, timeout)
    if runtime.kind == "podman":
        return "podman", _podman_pull(runtime, image, login, timeout)
    crictl = process.find_program("crictl")
    if crictl:
        # A command line can be read by every user of the node; the environment cannot.
        env = {"CRICTL_CREDS": f"{login.username}:{login.password}"} if login else {}
        limit = f"--timeout={timeout:g}s"
        return "crictl", process.run([crictl, limit, *_endpoints(runtime), "pull", image], timeout=timeout + 5, env=env)
    ctr = ctr_of(runtime)
    if not ctr or login:
        raise NodeError(
            "prove the trust by a pull",
            where="this node",
            got="crictl is not installed",
            remedy="Install cri-tools, or choose verify: tls, which proves less.",
        )
    # It pulls by itself, also where nobody would for the kubelet.
    said = _ready(runtime)
    if said.startswith(_NO_CRI):
        raise _failure(image, "ctr", "CRI is off in this containerd", process.Done(1, "", said))
    if said:
        raise _hung(image, runtime, said)
    more = ["--plain-http"] if plain else []
    command = [*ctr, "images", "pull", "--hosts-dir", runtime.root, *more, image]
    return "ctr", process.run(command, timeout=timeout)


def _is_docker(runtime: Runtime) -> bool:
    # cri-dockerd speaks CRI for it.
    return runtime.kind == "docker" and "cri-dockerd" not in runtime.endpoint


def _endpoints(runtime: Runtime) -> list[str]:
    url = f"unix://{runtime.endpoint}"
    return [f"--runtime-endpoint={url}", f"--image-endpoint={url}"]


def ctr_of(runtime: Runtime) -> list[str]:
    """Return the beginning of every ctr command for a runtime; nothing where it is not containerd or ctr is missing."""
    if runtime.kind not in CONTAINERD_KINDS:
        return []
    beside = os.path.join(os.path.dirname(runtime.program), "ctr")
    program = process.find_program("ctr", beside)
    return [program, "--address", runtime.endpoint, "--namespace", NAMESPACE] if program else []


def _docker(
    runtime: Runtime, method: str, path: str, headers: t.Mapping[str, str] | None = None, timeout: float = 10
) -> str:
    # Hardly any node has Docker, and what this loads takes longer than the rest of a run that changes nothing.
    import http.client

    deadline = time.monotonic() + timeout
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        connection.sock.connect(runtime.endpoint)
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        pieces: list[bytes] = []
        while piece := response.read1(1 << 16):
            pieces.append(piece)
            # A pull that hangs may go on reporting that it does.
            if time.monotonic() > deadline:
                raise TimeoutError
        text = b"".join(pieces).decode(errors="replace")
        strange = response.status >= 400 and "message" not in _parsed(text)
        return json.dumps({"error": f"status {response.status}: {text[:200]}"}) if strange else text
    except TimeoutError:
        return json.dumps({"error": f"no end within {timeout:g} seconds"})
    except (OSError, http.client.HTTPException) as exc:
        return json.dumps({"error": f"no answer: {exc}"})
    finally:
        connection.close()


def _parsed(text: str) -> dict[str, t.Any]:
    """Return what Docker says, nothing for what is none of its answers."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _docker_pull(runtime: Runtime, image: str, login: Login | None, timeout: float) -> process.Done:
    name, _colon, tag = image.rpartition(":")
    account = {"username": login.username, "password": login.password} if login else {}
    header = {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(account).encode()).decode()}
    query = urlencode({"fromImage": name, "tag": tag})
    answer = _docker(runtime, "POST", f"/images/create?{query}", header, timeout)
    for line in answer.splitlines():
        found = _parsed(line)
        if "error" in found or "message" in found:
            return process.Done(1, "", str(found.get("error") or found["message"]))
        if not found and line.strip():
            return process.Done(1, "", f"this is no answer of Docker: {line[:200]}")
    return process.Done(0, answer, "")


def _podman_pull(runtime: Runtime, image: str, login: Login | None, timeout: float) -> process.Done:
    command = [runtime.program, "pull", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        if login:
            path = os.path.join(folder, "auth.json")
            auth = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                json.dump({"auths": {image.partition("/")[0]: {"auth": auth}}}, file)
            command += ["--authfile", path]
        return process.run([*command, image], timeout=timeout)
