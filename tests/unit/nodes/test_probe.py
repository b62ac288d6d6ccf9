# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node says of servers that keep silent, of dead addresses, and of clocks that are wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _node_probe as probe
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import DistrustError, NodeError
from tests.lab.modules.authority import Authority, Pair

NAME = "registry.test"


@contextlib.contextmanager
def showing(pair: Pair | None) -> Iterator[int]:
    """Run a server with a certificate, or one that accepts and says nothing; yield its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    kept: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _address = listener.accept()
                kept.append(sock)
                with contextlib.suppress(OSError):
                    if pair:
                        context.wrap_socket(sock, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
    for sock in kept:
        sock.close()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def test_a_dead_address_is_passed_by(resolving, authority):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    with showing(authority.issue(NAME)) as port:
        resolving(("127.0.0.2", dead), ("127.0.0.1", port))
        seen = probe.look(NAME, "", authority.ca_file.read_text(), 5)
    assert (seen.address, seen.names) == ("127.0.0.1", [NAME])


def test_dead_addresses_are_all_named(resolving):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    resolving(("127.0.0.2", dead), ("127.0.0.1", dead))
    with pytest.raises(NodeError, match=r"registry.test \(127.0.0.2, 127.0.0.1 port 443\)\): nothing listens there"):
        probe.look(NAME, "", "", 5)


def test_a_server_that_keeps_silent_is_called_that():
    with showing(None) as port:
        begun = time.monotonic()
        with pytest.raises(NodeError) as caught:
            probe.look(f"{NAME}:{port}", "127.0.0.1", "", 1)
    assert caught.value.got == "it takes connections and keeps silent: no TLS handshake within 1 seconds"
    assert "TLS 1.2" not in caught.value.remedy
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("begins", "days", "got"),
    [
        (3, 9, r"it is valid from \w.* GMT on, and the clock of this node says 20.* UTC"),
        (-9, -2, r"it was valid until \w.* GMT, and the clock of this node says 20.* UTC"),
    ],
)
def test_a_clock_that_may_be_wrong_is_named(authority, begins, days, got):
    with (
        showing(authority.issue(NAME, begins=begins, days=days)) as port,
        pytest.raises(DistrustError, match=got) as caught,
    ):
        probe.look(f"{NAME}:{port}", "127.0.0.1", authority.ca_file.read_text(), 5)
    assert "the clock of this node" in caught.value.remedy
