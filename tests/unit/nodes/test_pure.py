# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nodes are told, as texts: hosts.toml, /etc/hosts, config_path by version."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _node_containerd as containerd
from ansible_collections.homeport.registry.plugins.module_utils import _node_directory as directory
from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_hosts_file import with_line
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


@pytest.mark.parametrize("kind", ["docker", "podman", "crio"])
def test_runtimes_without_hosts_toml_say_so(kind):
    with pytest.raises(NodeError, match=r"has no hosts\.toml"):
        directory.mirror_files(mirror(), "/certs.d", kind, (1,))


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
