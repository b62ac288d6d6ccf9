# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a mirror asks for an account, which makes containerd show it the passwords of the upstream. Private."""

from __future__ import annotations

import contextlib
import socket

from ansible_collections.homeport.registry.plugins.module_utils import _node_probe as probe
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_plan import Wish
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Answer, WireError

# A manifest that does not exist: the door of a registry, /v2/, may ask where its images do not.
_PATH = "homeport/health/manifests/node-trust"


def asks_for_account(wish: Wish, timeout: float) -> bool:
    """Tell whether a mirror wants an account for a pull; no where it does not answer within so many seconds."""
    path = "/".join(["/v2", *([wish.prefix] if wish.prefix else []), _PATH])
    try:
        with _connected(wish, timeout) as sock:
            sock.sendall(f"HEAD {path} HTTP/1.1\r\nHost: {wish.name}\r\nConnection: close\r\n\r\n".encode())
            with contextlib.closing(Answer(sock, "HEAD")) as answer:
                answer.begin()
            return answer.status == 401
    except (OSError, WireError, NodeError):
        return False


def _connected(wish: Wish, timeout: float) -> socket.socket:
    if wish.plain_http:
        return probe.connect(wish.name, wish.address, timeout, 80)
    host, _port = probe.split_host(wish.name)
    plain = probe.connect(wish.name, wish.address, timeout)
    # A handshake that fails closes it.
    return probe.make_context(wish.ca_text).wrap_socket(plain, server_hostname=host)


def warning(wish: Wish) -> str:
    """Return what the operator should know of such a mirror."""
    return (
        f"the mirror {wish.name} asks for an account: for images of {wish.mirror_of}, containerd shows it the pull"
        f" secrets that are meant for {wish.mirror_of}, and pulls without one fail. Let it serve pulls without an"
        " account, or name it in image names instead"
    )
