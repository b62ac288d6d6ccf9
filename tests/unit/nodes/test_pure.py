# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nodes are told, as texts: hosts.toml, /etc/hosts, config_path by version."""

from __future__ import annotations

import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _node_containerd as containerd
from ansible_collections.homeport.registry.plugins.module_utils import _node_daemon_json as daemon_json
from ansible_collections.homeport.registry.plugins.module_utils import _node_directory as directory
from ansible_collections.homeport.registry.plugins.module_utils import _node_inline as inline
from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_hosts_file import with_line
from ansible_collections.homeport.registry.plugins.module_utils._node_plan import Wish, addressed
from ansible_collections.homeport.registry.plugins.module_utils._node_plan import _addresses as addresses_of
from ansible_collections.homeport.registry.plugins.module_utils._node_probe import split_host
from ansible_collections.homeport.registry.plugins.module_utils._node_toml import Document

OURS = "192.0.2.1 reg.test # homeport.registry\n"


@pytest.mark.parametrize(
    ("text", "address", "after"),
    [
        ("", "192.0.2.1", OURS),
        ("127.0.0.1 localhost", "192.0.2.1", "127.0.0.1 localhost\n" + OURS),
        (OURS, "192.0.2.1", OURS),
        (OURS + OURS, "192.0.2.1", OURS),
        (OURS, "192.0.2.2", OURS.replace("2.1", "2.2")),
        (OURS, "", ""),
        ("192.0.2.1 reg.test x # theirs\n", "192.0.2.1", "192.0.2.1 reg.test x # theirs\n"),
        ("192.0.2.9 reg.test # theirs\n", "", "192.0.2.9 reg.test # theirs\n"),
        ("# 192.0.2.9 reg.test\n", "192.0.2.1", "# 192.0.2.9 reg.test\n" + OURS),
    ],
)
def test_one_line_in_the_hosts_file(text, address, after):
    assert with_line(text, "reg.test", address) == after


def test_a_line_of_somebody_else_is_not_changed():
    with pytest.raises(NodeError, match=r"another line there says 192\.0\.2\.9"):
        with_line("192.0.2.9 reg.test\n", "reg.test", "192.0.2.1")


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        (["192.0.2.1", ""], {"reg.test": "192.0.2.1"}),
        (["", "192.0.2.1"], {"reg.test": "192.0.2.1"}),
        (["192.0.2.1", "192.0.2.1"], {"reg.test": "192.0.2.1"}),
        (["", ""], {"reg.test": ""}),
    ],
)
def test_a_host_that_is_a_registry_and_a_mirror_needs_its_address_once(addresses, found):
    wishes = [
        Wish("reg.test:5000", True, [], mirror_of=upstream, address=address)
        for upstream, address in zip(("", "docker.io"), addresses)
    ]
    assert addresses_of(wishes) == found
    assert {wish.address for wish in addressed(wishes)} == set(found.values())


def test_a_host_has_one_address():
    wishes = [Wish("reg.test", True, [], address="192.0.2.1"), Wish("reg.test:5000", True, [], address="192.0.2.2")]
    with pytest.raises(NodeError, match=r"one entry says 192\.0\.2\.1, another 192\.0\.2\.2"):
        addresses_of(wishes)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("reg.test", ("reg.test", None)),
        ("reg.test:5000", ("reg.test", 5000)),
        ("[2001:db8::1]:5000", ("2001:db8::1", 5000)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
    ],
)
def test_host_and_port(name, parts):
    assert split_host(name) == parts
    assert directory.check_name(name, "a name") == name


def mirror(**options):
    given = {"upstream": "docker.io", "endpoint": "https://cache.test", "ca_text": "PEM", "fallback": True, **options}
    return directory.Mirror(**given)


@pytest.mark.parametrize("version", [(1, 6, 20), (1, 7, 24), (2, 1, 0), (2, 3, 4)])
def test_a_mirror_is_asked_first_and_its_upstream_after_it(version):
    files = directory.mirror_files(mirror(), "/certs.d", "containerd", version)
    assert files["/certs.d/docker.io/ca.crt"] == "PEM"
    settings = Document(files["/certs.d/docker.io/hosts.toml"], "x")
    assert settings.get("server") == "https://registry-1.docker.io"
    host = settings.get("host", "https://cache.test")
    assert host["capabilities"] == ["pull", "resolve"]
    assert host["ca"] == "/certs.d/docker.io/ca.crt"
    assert ("dial_timeout" in host) is (version >= (2, 1))


def test_a_mirror_without_fallback_is_the_server_itself():
    files = directory.mirror_files(mirror(fallback=False, ca_text=""), "/certs.d", "k3s", (2, 0, 0))
    (text,) = files.values()
    settings = Document(text, "x")
    assert settings.get("server") == "https://cache.test"
    assert "docker" not in text
    # Without this table older versions drop the file.
    assert ("host",) in settings.tables


@pytest.mark.parametrize("fallback", [True, False])
def test_a_mirror_may_keep_the_images_below_a_prefix(fallback):
    files = directory.mirror_files(mirror(fallback=fallback, prefix="docker.io"), "/certs.d", "containerd", (2, 0, 0))
    settings = Document(files["/certs.d/docker.io/hosts.toml"], "x")
    place = settings.get("host", "https://cache.test/v2/docker.io") if fallback else settings.get()
    assert place["override_path"] is True
    if not fallback:
        assert place["server"] == "https://cache.test/v2/docker.io"
    podman = directory.mirror_files(
        mirror(fallback=fallback, prefix="docker.io"), "/etc/containers/certs.d", "crio", ()
    )
    assert podman["/etc/containers/certs.d/cache.test/ca.crt"] == "PEM"
    assert 'location = "cache.test/docker.io"' in podman["/etc/containers/registries.conf.d/90-homeport-docker.io.conf"]
    with pytest.raises(NodeError, match="without a prefix"):
        directory.mirror_files(mirror(prefix="docker.io"), "/etc/docker/certs.d", "docker", ())


@pytest.mark.parametrize("kind", ["podman", "crio"])
@pytest.mark.parametrize(("fallback", "location"), [(True, "docker.io"), (False, "cache.test")])
def test_a_mirror_for_runtimes_with_registries_conf(kind, fallback, location):
    files = directory.mirror_files(mirror(fallback=fallback), "/etc/containers/certs.d", kind, (4, 3, 1))
    assert files["/etc/containers/certs.d/cache.test/ca.crt"] == "PEM"
    settings = Document(files["/etc/containers/registries.conf.d/90-homeport-docker.io.conf"], "x")
    assert settings.get("registry", "0", "prefix") == "docker.io"
    assert settings.get("registry", "0", "location") == location
    # Under another location the upstream is never asked, so a mirror would be one too many.
    found = settings.get("registry", "mirror", "0") or settings.get("registry", "0", "mirror")
    assert (found is not None) is fallback


def test_a_registry_without_tls_for_runtimes_with_registries_conf():
    trust = directory.Trust("reg.test:5000", "", plain_http=True)
    ((path, text),) = directory.trust_files(trust, "/etc/containers/certs.d", "podman").items()
    assert path == "/etc/containers/registries.conf.d/90-homeport-reg.test-5000.conf"
    assert Document(text, "x").get("registry", "0", "insecure") is True


@pytest.mark.parametrize("more", [{"upstream": "quay.io"}, {"fallback": False}])
def test_docker_mirrors_docker_io_only_and_asks_it_too(more):
    with pytest.raises(NodeError, match=r"Docker has mirrors of docker\.io only"):
        directory.mirror_files(mirror(**more), "/etc/docker/certs.d", "docker", (20, 10))


THEIRS = '{"debug": true, "insecure-registries": ["theirs"]}'


@pytest.mark.parametrize(
    ("text", "wanted", "ours", "after"),
    [
        (None, ["a"], [], {"insecure-registries": ["a"]}),
        ("", ["a"], [], {"insecure-registries": ["a"]}),
        (THEIRS, ["a"], [], {"debug": True, "insecure-registries": ["theirs", "a"]}),
        (THEIRS, ["theirs"], [], json.loads(THEIRS)),
        ('{"insecure-registries": ["a"]}', [], ["a"], None),
        ('{"insecure-registries": ["a", "b"]}', ["b"], ["a", "b"], {"insecure-registries": ["b"]}),
        (THEIRS, [], ["gone"], json.loads(THEIRS)),
    ],
)
def test_single_entries_of_daemon_json(text, wanted, ours, after):
    key = "insecure-registries"
    changed = daemon_json.merged(text, "daemon.json", {key: wanted} if wanted else {}, {key: ours} if ours else {})
    assert (json.loads(changed) if changed is not None else None) == after


def test_what_the_user_had_is_not_ours():
    assert daemon_json.added(THEIRS, {"insecure-registries": ["theirs", "a"]}, {}) == {"insecure-registries": ["a"]}


@pytest.mark.parametrize("text", ["[", "[]", '{"insecure-registries": "a"}'])
def test_a_broken_daemon_json_is_refused(text):
    with pytest.raises(NodeError, match=r"daemon\.json"):
        daemon_json.merged(text, "daemon.json", {"insecure-registries": ["a"]}, {})


@pytest.mark.parametrize(
    ("version", "value", "root"),
    [
        ((1, 6, 20), "", ""),
        ((1, 7, 0), "/a", "/a"),
        ((1, 7, 0), "/a:/b", "/a"),
        ((2, 0, 0), "/a:/b", "/a"),
        ((2, 1, 0), "/a:/b", ""),
        ((2, 1, 0), "", ""),
        ((2, 3, 4), "", ""),
        ((2, 3, 4), "/a", "/a"),
    ],
)
def test_which_directory_pulls_read(version, value, root):
    table = ".".join(f"'{step}'" for step in containerd.dumped_table(version[0]))
    found = containerd.judge(version, Document(f'[{table}]\nconfig_path = "{value}"\n', "dump"))
    assert (found.root, bool(found.reason)) == (root, not root)


def test_local_pulls_read_a_list_also_in_new_versions():
    images = "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n"
    text = images + "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n"
    assert containerd.judge((2, 1, 0), Document(text, "dump")).root == "/a"


@pytest.mark.parametrize(
    ("text", "version", "after"),
    [
        (None, (1, 6, 0), 'version = 2\n\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/r"\n'),
        (None, (2, 3, 0), 'version = 3\n\n[plugins."io.containerd.cri.v1.images".registry]\n  config_path = "/r"\n'),
        ("", (1, 6, 0), '[plugins.cri.registry]\n  config_path = "/r"\n'),
        (
            "version = 4\n",
            (2, 4, 0),
            'version = 4\n\n[plugins."io.containerd.cri.v1.images".registry]\n  config_path = "/r"\n',
        ),
    ],
)
def test_the_key_follows_the_version_of_the_file(text, version, after):
    assert containerd.with_root(text, "config.toml", version, "/r") == after


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["containerd", "--config", "/a"], "/a"),
        (["containerd", "-c", "/a", "-l", "x"], "/a"),
        (["containerd", "--config=/a"], "/a"),
        (["containerd", "--config"], None),
        (["containerd"], None),
    ],
)
def test_an_option_of_a_command_line(words, value):
    assert process.option(words, "-c", "--config") == value


@pytest.mark.parametrize(
    ("kind", "made", "remedy"),
    [
        ("containerd", False, "replace_foreign: true"),
        ("k3s", False, "replace_foreign: true"),
        ("k3s", True, r'/etc/rancher/k3s/registries\.yaml.*"reg\.test:5000": \{tls: \{ca_file: .* restart k3s'),
        ("rke2", True, r"/etc/rancher/rke2/registries\.yaml"),
    ],
)
def test_what_to_do_about_a_file_of_somebody_else_depends_on_who_makes_it(tmp_path, kind, made, remedy):
    folder = tmp_path / "reg.test:5000"
    folder.mkdir()
    (folder / "hosts.toml").write_text(f"# File generated by {kind}. DO NOT EDIT.\n" if made else "# by hand\n")
    with pytest.raises(NodeError, match=remedy):
        directory.refuse_what_shadows("reg.test:5000", str(tmp_path), kind, [], replace=False)


@pytest.mark.parametrize(
    ("table", "registries", "mirrors"),
    [
        ({}, [], []),
        (
            # The upstream itself, which others list as the last endpoint, is what fallback means.
            {"mirrors": {"docker.io": {"endpoint": ["https://a.test:5000", "https://registry-1.docker.io"]}}},
            [],
            [{"upstream": "docker.io", "name": "a.test:5000"}],
        ),
        (
            {"mirrors": {"quay.io": {"endpoint": ["http://a.test/v2/quay", "https://b.test"]}}},
            [],
            [{"upstream": "quay.io", "name": "a.test", "prefix": "quay", "plain_http": True}],
        ),
        (
            {"mirrors": {"own.test:5000": {"endpoint": ["http://own.test:5000"]}}},
            [{"name": "own.test:5000", "plain_http": True}],
            [],
        ),
        (
            {
                "mirrors": {"docker.io": {"endpoint": ["https://a.test"]}, "*": {"endpoint": ["https://all.test"]}},
                "configs": {
                    "a.test": {"tls": {"ca_file": "/a.crt"}},
                    "b.test": {"tls": {"insecure_skip_verify": True}},
                    "c.test": {"auth": {"username": "alice"}},
                },
            },
            [{"name": "b.test", "insecure": True}],
            [{"upstream": "docker.io", "name": "a.test", "ca_certificates": ["<content of /a.crt>"]}],
        ),
    ],
)
def test_inline_mirrors_by_their_names_in_an_inventory(table, registries, mirrors):
    assert inline.entries_for(table) == (registries, mirrors)


def test_advice_is_ready_to_paste_and_holds_no_password():
    account = {"auth": {"username": "alice", "password": "secret"}}
    table = {"mirrors": {"quay.io": {"endpoint": ["https://a.test"]}}, "configs": {"a.test": account}}
    assert inline.advice(table) == 'registry_node_trust_mirrors: [{"upstream": "quay.io", "name": "a.test"}]'
    assert inline.advice({"mirrors": {"quay.io": {}}}) == ""
