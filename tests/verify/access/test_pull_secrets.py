# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull secrets in the namespaces that pull."""

from __future__ import annotations

import json

from tests.verify import oci
from tests.verify.access.consumers import BUILDER, HOST, THEIRS, Consumer
from tests.verify.clients import WORK, Client
from tests.verify.playbooks import Playbooks, Run
from tests.verify.registry import Account, Registry

TASK = "homeport.registry.registry_auth : Apply the accounts"


def test_every_selected_namespace_gets_the_secret(
    provided: Run, registry: Registry, shop: Consumer, billing: Consumer
) -> None:
    """One run brings the same content to each, under the exact names that images are pulled by."""
    assert provided.changed == [TASK]
    config = shop.docker_config("puller")
    assert config == billing.docker_config("puller")
    assert sorted(config["auths"]) == sorted([HOST, registry.host])


def test_entries_of_others_stay(provided: Run, registry: Registry, shop: Consumer) -> None:
    """Our entry is added to each account, behind what was there."""
    ours = f"{registry.name}-pull-puller"
    assert shop.entries("default") == [ours]
    assert shop.entries(BUILDER) == [THEIRS, ours]


def test_secret_is_enough_to_pull_and_not_to_push(
    provided: Run, shop: Consumer, registry: Registry, client: Client, writer: Account
) -> None:
    """A client with nothing but the content of the secret pulls and is refused when it pushes."""
    layout = oci.image("pull secret")
    source = client.put(layout)
    pushed = client.push(source, "shop/app:1", writer)
    assert pushed.rc == 0, pushed.stderr
    authfile = f"{WORK}/pull-secret.json"
    client.script('umask 077 && printf %s "$1" > "$2"', json.dumps(shop.docker_config("puller")), authfile)
    options = ("copy", "--preserve-digests", f"--authfile={authfile}")
    pulled = client.skopeo(*options, "--src-tls-verify=false", client.reference("shop/app:1"), f"oci:{WORK}/shop:1")
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(f"{WORK}/shop") == layout.digests
    refused = client.skopeo(*options, "--dest-tls-verify=false", source, client.reference("shop/refused:1"))
    assert refused.rc != 0
    assert "unauthorized" in refused.stderr.lower() or "authentication required" in refused.stderr.lower()


def test_pod_that_came_too_early_is_named(provided: Run, shop: Consumer) -> None:
    """The pod that can never pull is named, with what to do; one that is made now has the secret."""
    warnings = provided.result("Apply the accounts")["warnings"]
    assert len(warnings) == 1
    assert f"{shop.namespace}/early." in warnings[0]
    assert "Delete these pods" in warnings[0]
    assert shop.run_pod("late", f"{HOST}/shop/app:1", BUILDER) == shop.entries(BUILDER)


def test_second_run_changes_nothing(provided: Run, playbooks: Playbooks, shop: Consumer) -> None:
    """Neither the secret nor the accounts are written again."""
    before = shop.secrets()
    assert playbooks.run("site").changed == []
    assert shop.secrets() == before


def test_new_password_reaches_the_same_secret(
    provided: Run, playbooks: Playbooks, shop: Consumer, billing: Consumer
) -> None:
    """A secret that was deleted and made anew would have kubelets ask the registry again for every image."""
    before, old = shop.secrets(), shop.docker_config("puller")
    users = [
        {"name": "pusher", "role": "writer"},
        {"name": "puller", "role": "reader", "password": "the-next-password-of-this-account"},
    ]
    assert playbooks.run("site", registry_auth_users=users).changed == [TASK]
    after = shop.secrets()
    assert [secret["uid"] for secret in after] == [secret["uid"] for secret in before]
    assert shop.docker_config("puller") != old
    assert shop.docker_config("puller") == billing.docker_config("puller")


def test_one_account_follows_another_with_an_overlap(
    provided: Run, playbooks: Playbooks, registry: Registry, shop: Consumer
) -> None:
    """Both secrets are there at once; then the old one goes and nothing else."""
    users = [{"name": "pusher", "role": "writer"}, *({"name": name, "role": "reader"} for name in ("puller", "next"))]
    ours = [f"{registry.name}-pull-{name}" for name in ("puller", "next")]
    playbooks.run("site", registry_auth_users=users, registry_auth_pull_accounts=["puller", "next"])
    assert shop.entries(BUILDER) == [THEIRS, *ours]
    playbooks.run("site", registry_auth_users=users, registry_auth_pull_accounts=["next"])
    assert shop.entries(BUILDER) == [THEIRS, ours[1]]
    assert [secret["name"] for secret in shop.secrets()] == [ours[1]]
    playbooks.run("site")
    assert shop.entries(BUILDER) == [THEIRS, ours[0]]


def test_namespace_that_leaves_the_selection_is_cleaned(
    provided: Run, playbooks: Playbooks, shop: Consumer, billing: Consumer
) -> None:
    """The secret and our entries go, others' entries and other namespaces stay."""
    billing.select(False)
    assert playbooks.run("site").changed == [TASK]
    assert billing.secrets() == []
    assert (billing.entries("default"), billing.entries(BUILDER)) == ([], [THEIRS])
    assert len(shop.secrets()) == 1
    billing.select(True)
    assert playbooks.run("site").changed == [TASK]
    assert len(billing.secrets()) == 1
