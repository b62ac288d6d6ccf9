# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server whose lists come from a model of an object store, as Distribution reads one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_MANIFEST
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.unit.registry_client.conftest import Reply, Request, Script

BODY = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()


class ObjectStore:
    """Lists names in the order of keys, with the faults of one release.

    skips: a name is left out after one that is its beginning (3.1.0, 3.1.1). orders: after `last`, names are compared
    in another order than that of the keys (3.0, 3.1). null: an empty list is null (3.1.0, 3.1.1).
    """

    def __init__(self, script: Script, *, skips: bool, orders: bool, null: bool, most: int = 1000) -> None:
        self.script = script
        self.repositories: dict[str, list[str]] = {}
        self._faults = (skips, orders, null)
        self.most = most
        script.reply = self._reply

    def _reply(self, request: Request) -> Reply:
        parts = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/v2/_catalog":
            number = int(query.get("n", min(100, self.most)))
            if number > self.most:
                return Reply(400, b'{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}')
            # Repositories end in a folder of their own, so none hides another.
            return self._list(request, "repositories", self.repositories, number, query.get("last", ""), skips=False)
        name, _slash, rest = parts.path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            known = rest in self.repositories[name] or rest.startswith("sha256:")
            return Reply(200, BODY, {"Content-Type": OCI_MANIFEST}) if known else Reply(404)
        name = name.removesuffix("/tags/list")
        if name not in self.repositories:
            return Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
        number, last = int(query.get("n", -1)), query.get("last", "")
        return self._list(request, "tags", self.repositories[name], number, last, skips=self._faults[0])

    def _list(self, request: Request, key: str, names: Iterable[str], number: int, last: str, skips: bool) -> Reply:
        _skips, orders, null = self._faults
        found: list[str] = []
        # The catalog goes on behind the manifests of the last one, tags in front of what belongs to the last one.
        for name in self._walk(names, f"{last}/_" if last and key == "repositories" else last, skips):
            # A separator sorts first, which the keys do not know.
            if name != last and (not orders or not last or last.replace("/", "\0") < name.replace("/", "\0")):
                found.append(name)
            if len(found) == number:
                break
        headers = {}
        if len(found) == number:
            path = urlsplit(request.path).path
            headers["Link"] = f'<{path}?n={number}&last={found[-1]}>; rel="next"'
        return Reply(200, json.dumps({key: found or (None if null else [])}).encode(), headers)

    @staticmethod
    def _walk(names: Iterable[str], last: str, skips: bool) -> Iterator[str]:
        skipped = None
        for name in sorted(names, key=lambda name: f"{name}/_"):
            if last and f"{name}/_" <= last:
                continue
            if skips and skipped is not None and name.startswith(skipped):
                continue
            skipped = name
            yield name


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()
    yield made
    made.stop()


@pytest.fixture
def session(script: Script) -> Iterator[Session]:
    transport = Transport(timeout=5, sleep=lambda seconds: None)
    yield Session(transport, script.url)
    transport.close()
