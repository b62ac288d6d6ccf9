# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry of these tests."""

from __future__ import annotations

import io
import shutil
import ssl
import tarfile
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils import _registry_upload as upload
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.modules.authority import Authority, Pair
from tests.lab.modules.distribution import Distribution
from tests.verify import oci

REPOSITORY = "team/app"


class Depot:
    """A TLS registry on loopback under a name, since runtimes do not verify loopback addresses."""

    def __init__(self, server: Distribution, authority: Authority, pair: Pair, host: str = "depot.test") -> None:
        """Take a running server and the pair of files that it serves with."""
        self.server, self.authority, self.pair = server, authority, pair
        self.name = f"{host}:{server.port}"

    @property
    def ca(self) -> str:
        """Return its CA as PEM text."""
        return self.authority.ca_file.read_text()

    @property
    def image(self) -> str:
        """Return the name of its one image."""
        return f"{self.name}/{REPOSITORY}:1"

    def wish(self, **more: t.Any) -> dict[str, t.Any]:
        """Return the entry for the module."""
        return {"name": self.name, "ca_certificates": [self.ca], **more}

    def push(self, repository: str = REPOSITORY) -> None:
        """Push an image."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        session = Session(Transport(context=context), self.server.url)
        layout = oci.image("a node pulls this", layers=1, size=512)
        with tarfile.open(fileobj=io.BytesIO(layout.archive)) as tar:
            for digest in layout.digests:
                member = tar.extractfile(f"blobs/sha256/{digest.partition(':')[2]}")
                assert member
                body = member.read()
                if digest == layout.digest:
                    manifest = body
                else:
                    upload.push_blob(session, repository, digest, upload.bytes_body(body))
        client.put_manifest(session, repository, "1", manifest, layout.media_type)
        session.transport.close()

    def show(self, pair: Pair) -> None:
        """Serve with another certificate from now on."""
        self.server.stop()
        shutil.copy(pair.certificate, self.pair.certificate)
        shutil.copy(pair.key, self.pair.key)
        self.server.start()
