# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""A handshake that went wrong on the way is made again; one that the server does not want is not."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, Unreachable
from tests.unit.apply.access import access_to

# A TLS record of type alert, level fatal, with these descriptions.
DECODE_ERROR, UNKNOWN_CA = 50, 48
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{"all":"ok"}'


class Server:
    """Answers the first connections with an alert and the others as it should."""

    def __init__(self, certificate: Path, alert: int, spoiled: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._alert, self._spoiled, self.connections = alert, spoiled, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                if self.connections <= self._spoiled:
                    connection.recv(65536)
                    connection.sendall(bytes((21, 3, 3, 0, 2, 2, self._alert)))
                    continue
                with self._context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(65536)
                    tls.sendall(ANSWER)

    def close(self) -> None:
        """Stop."""
        self._socket.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + dated.sign(key, hashes.SHA256()).public_bytes(pem))
    return path


@pytest.fixture
def client_of() -> Iterator[Any]:
    """Return a maker of a client for a server."""
    servers = []

    def make(server: Server) -> ApiClient:
        servers.append(server)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return ApiClient(
            access_to(f"https://127.0.0.1:{server.port}", ssl_context=context), connections=1, read_only=False
        )

    yield make
    for server in servers:
        server.close()


def test_a_spoiled_handshake_is_made_again(certificate: Path, client_of: Any) -> None:
    server = Server(certificate, DECODE_ERROR, spoiled=1)
    assert client_of(server).get("/version") == {"all": "ok"}
    assert server.connections == 2


def test_a_refused_client_is_told_at_once(certificate: Path, client_of: Any) -> None:
    server = Server(certificate, UNKNOWN_CA, spoiled=1)
    with pytest.raises(Unreachable, match="TLS failed"):
        client_of(server).get("/version")
    assert server.connections == 1
