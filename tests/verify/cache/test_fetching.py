# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cache does while its upstream is there."""

from __future__ import annotations

import json

import jmespath
import pytest
import yaml

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

STORE = "/var/lib/registry"


def blobs(cache: Registry) -> set[str]:
    """Return the digests whose bytes are on the volume of a cache."""
    found = cache.inside("cache", "registry").run(f"find {STORE}/docker/registry/v2/blobs -name data")
    return {"sha256:" + line.split("/")[-2] for line in found.stdout.splitlines()}


def test_image_is_fetched_once_and_kept(mirror: Registry, at_mirror: Client, at_upstream: Client) -> None:
    """A client gets every byte of an index that is upstream only; afterwards the volume holds them."""
    layout = oci.index("fetched")
    pushed = at_upstream.push(at_upstream.put(layout), "library/fetched:1", None)
    assert pushed.rc == 0, pushed.stderr
    assert not layout.digests & blobs(mirror)
    pulled = at_mirror.pull("library/fetched:1", f"oci:{WORK}/fetched:1", None)
    assert pulled.rc == 0, pulled.stderr
    assert at_mirror.digests(f"{WORK}/fetched") == layout.digests
    eventually(lambda: layout.digests <= blobs(mirror), "what was fetched is kept")


def test_a_slow_pull_outlives_its_pod(mirror: Registry, at_mirror: Client, at_upstream: Client) -> None:
    """A client that is in the middle of a download has its time, also for what only the kernel still holds."""
    layout = oci.image("slow", layers=1, size=5 << 20)
    assert at_upstream.push(at_upstream.put(layout), "library/slow:1", None).rc == 0
    pulled = at_mirror.pull("library/slow:1", f"dir:{WORK}/slow", None)
    assert pulled.rc == 0, pulled.stderr
    blob = next(digest for digest, size in layout.sizes.items() if size > 1 << 20)
    slow = at_mirror.pull_slowly(f"http://{mirror.host}/v2/library/slow/blobs/{blob}", None)
    before = mirror.pods("cache")
    mirror.kubectl("delete", "pod", *before)
    output, _unused = slow.communicate(timeout=60)
    assert output.split()[0] == blob[7:]
    mirror.wait_ready(mirror.name)
    eventually(lambda: at_mirror.http("/v2/").status == 200, "the mirror answers")


def test_tag_that_moves_is_followed(at_mirror: Client, at_upstream: Client) -> None:
    """A tag is asked for upstream, whatever was fetched before."""
    seen = []
    for seed in ("first", "second"):
        layout = oci.image(seed)
        assert at_upstream.push(at_upstream.put(layout), "library/moving:latest", None).rc == 0
        answer = at_mirror.http("/v2/library/moving/manifests/latest", "-H", f"Accept: {layout.media_type}")
        seen.append((answer.status, answer.headers["docker-content-digest"] == layout.digest))
    assert seen == [(200, True)] * 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/library/pushed/blobs/uploads/"),
        ("PUT", "/v2/library/pushed/manifests/1"),
        ("DELETE", f"/v2/library/fetched/manifests/{oci.index('fetched').digest}"),
    ],
)
def test_nothing_is_pushed_or_deleted(at_mirror: Client, method: str, path: str) -> None:
    """A cache takes nothing from its clients."""
    body = ("-H", f"Content-Type: {oci.MANIFEST}", "-d", "{}") if method == "PUT" else ()
    answer = at_mirror.http(path, "-X", method, *body)
    assert answer.status == 405
    assert json.loads(answer.body)["errors"][0]["code"] == "UNSUPPORTED"


def test_cache_with_an_account_asks_for_one(
    registry: Registry, client: Client, writer: Account, at_vault: Client, vault_reader: Account
) -> None:
    """What the account upstream may pull is for those who have an account here."""
    layout = oci.image("private")
    pushed = client.push(client.put(layout), "team/private:1", writer)
    assert pushed.rc == 0, pushed.stderr
    path = "/v2/team/private/manifests/1"
    accept = ("-H", f"Accept: {layout.media_type}")
    for stranger in (None, Account("puller", "wrong"), writer):
        assert at_vault.http(path, *accept, account=stranger).status == 401
    pulled = at_vault.pull("team/private:1", f"oci:{WORK}/private:1", vault_reader)
    assert pulled.rc == 0, pulled.stderr
    assert at_vault.digests(f"{WORK}/private") == layout.digests


def test_what_has_expired_goes_and_is_fetched_again(
    vault: Registry, client: Client, writer: Account, at_vault: Client, vault_reader: Account
) -> None:
    """After the time to live the layers leave the volume, and the next pull is whole: nothing remembers them."""
    layout = oci.image("expiring")
    assert client.push(client.put(layout), "team/expiring:1", writer).rc == 0
    assert at_vault.pull("team/expiring:1", f"oci:{WORK}/expiring:1", vault_reader).rc == 0
    # Distribution forgets an expired manifest and leaves its few bytes.
    layers = layout.digests - {layout.digest}
    eventually(lambda: not layers & blobs(vault), "what has expired is gone", seconds=120, every=2)
    again = at_vault.pull("team/expiring:1", f"oci:{WORK}/again:1", vault_reader)
    assert again.rc == 0, again.stderr
    assert at_vault.digests(f"{WORK}/again") == layout.digests


def test_settings_are_those_of_a_cache(mirror: Registry, vault: Registry) -> None:
    """No descriptor cache, deleting allowed for what expires, and no password in a ConfigMap or a literal."""
    for cache, ttl in ((mirror, "168h"), (vault, "20s")):
        text = cache.find('data."cache.yml"', "configmap", f"{cache.name}-cache")
        settings = yaml.safe_load(text)
        assert set(settings["storage"]) == {"filesystem", "delete"}
        assert set(settings["proxy"]) == {"remoteurl", "ttl"}
        assert settings["proxy"]["ttl"] == ttl
    variables = vault.find("spec.template.spec.initContainers[].env[]", "deployment", vault.name)
    named = jmespath.search("[?starts_with(name, 'REGISTRY_PROXY')].valueFrom.secretKeyRef.name", variables)
    assert named == ["vault-upstream"] * 2


def test_second_run_changes_nothing(playbooks: Playbooks, mirror: Registry, vault: Registry) -> None:
    """No task reports a change and no object is written."""
    before = mirror.versions(), vault.versions()
    assert playbooks.run("site").changed == []
    assert playbooks.run("site", "--check").changed == []
    assert (mirror.versions(), vault.versions()) == before


def test_other_password_upstream_is_taken_up(playbooks: Playbooks, vault: Registry) -> None:
    """The process reads it at its start only, so the pod is made anew; the diff shows nothing of it."""
    secret = "the-other-password-upstream"
    run = playbooks.run(
        "site", "--check", "--diff", "--limit=vault.molecule.test", registry_cache_upstream_password=secret
    )
    assert run.changed == ["homeport.registry.registry_cache : Apply the cache"]
    changed = [item["kind"] for item in run.result("Apply the cache")["objects"] if item["changed"]]
    assert sorted(changed) == ["Deployment", "Secret"]
    assert secret not in run.output
