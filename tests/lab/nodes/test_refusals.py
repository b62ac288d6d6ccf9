# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps a node from trusting a registry is said before anything is written, with what to do about it."""

from __future__ import annotations

import socket

import pytest

from tests.lab.modules.distribution import Distribution, free_port
from tests.lab.nodes.conftest import REGISTRY


@pytest.fixture
def machine(build, new):
    """Return one machine: these refusals are ours and not the runtime's."""
    return build(new)


def test_a_name_that_the_node_cannot_resolve(machine, depot):
    failed = machine.refuse(registries=[{"name": "nowhere.invalid:5000", "ca_certificates": [depot.ca]}])
    assert failed["tried"] == "resolve the registry's name on this node"
    assert "Nodes do not use the cluster's DNS" in failed["remedy"]


def test_a_line_of_somebody_else_gives_another_address(machine, depot):
    failed = machine.refuse(registries=[depot.wish(address="127.0.0.2")])
    assert (failed["where"], failed["got"]) == ("/etc/hosts", "another line there says 127.0.0.1")


def test_nobody_listens(machine, depot):
    failed = machine.refuse(registries=[depot.wish(name=f"depot.test:{free_port()}")])
    assert "nothing listens there" in failed["got"]


def test_nobody_answers(machine, depot):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        wish = depot.wish(name=f"depot.test:{silent.getsockname()[1]}")
        failed = machine.refuse(registries=[wish], timeout=0.5)
    assert "handshake" in failed["got"]


def test_a_mirror_that_hangs_is_not_written_down(machine, depot):
    # With it every pull of the upstream would take ten seconds longer for each request.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        name = f"depot.test:{silent.getsockname()[1]}"
        failed = machine.refuse(mirrors=[{"upstream": "upstream.test", "name": name}], timeout=0.5)
    assert "handshake" in failed["got"]


def test_plain_http_where_tls_is_expected(machine, depot, tmp_path):
    server = Distribution(str(REGISTRY), tmp_path / "plain", store=tmp_path / "other")
    server.start()
    try:
        failed = machine.refuse(registries=[depot.wish(name=f"depot.test:{server.port}")])
    finally:
        server.stop()
    assert failed["got"] == "the server answers with plain HTTP"
    assert "plain_http" in failed["remedy"]


def test_a_certificate_of_an_unknown_authority(machine, depot):
    failed = machine.refuse(registries=[{"name": depot.name}])
    assert "signed by CN=Test CA" in failed["got"]
    assert "ca_certificates" in failed["remedy"]


@pytest.mark.parametrize(
    ("host", "options", "got", "remedy"),
    [
        ("depot.test", {"names": False}, "names nothing as subject alternative name", "do not read the common name"),
        ("other.test", {}, "is for other.test and not for depot.test", "with depot.test as a subject alternative name"),
        ("depot.test", {"days": -1, "begins": -2}, "expired", "Renew the server's certificate"),
    ],
)
def test_a_certificate_that_go_would_not_take(machine, depot, host, options, got, remedy):
    depot.show(depot.authority.issue(host, **options))
    failed = machine.refuse(registries=[depot.wish()])
    assert got in failed["got"]
    assert remedy in failed["remedy"]


def test_a_server_certificate_is_no_ca(machine, depot):
    leaf = depot.pair.certificate.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    failed = machine.refuse(registries=[depot.wish(ca_certificates=[leaf])])
    assert "that of a server and not of a CA" in failed["got"]
    assert "Give the CA that signed it" in failed["remedy"]


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_a_text_that_is_no_certificate(machine, depot, text, got):
    assert got in machine.refuse(registries=[depot.wish(ca_certificates=[text])])["got"]


def test_a_private_key_stays_with_the_ca(machine, depot):
    text = depot.ca + depot.pair.key.read_text()
    failed = machine.refuse(registries=[depot.wish(ca_certificates=[text])])
    assert "private key" in failed["got"]
    assert "BEGIN PRIVATE" not in str({key: value for key, value in failed.items() if key != "invocation"})


@pytest.mark.parametrize(
    ("name", "got", "remedy"),
    [
        ("_default", "every image of the node", "Name the registries one by one."),
        *(
            (name, "no host name", "what image names begin with")
            for name in ("https://depot.test", "depot.test/team", "")
        ),
    ],
)
def test_a_name_that_is_no_registry(machine, depot, name, got, remedy):
    failed = machine.refuse(registries=[depot.wish(name=name)])
    assert got in failed["got"]
    assert remedy in failed["remedy"]


def test_no_mirror_for_everything(machine, depot):
    failed = machine.refuse(mirrors=[{"upstream": "_default", "name": depot.name}])
    assert "every image of the node" in failed["got"]
    assert failed["remedy"] == "Name the registries one by one."


def test_the_other_spelling_shadows_ours(machine, depot):
    host, _colon, port = depot.name.partition(":")
    (machine.root / f"{host}_{port}_").mkdir(parents=True)
    failed = machine.refuse(registries=[depot.wish()])
    assert "containerd looks there first" in failed["got"]
    assert "delete it" in failed["remedy"]


def test_spegel_owns_the_place(machine, depot):
    (machine.root / "_backup").mkdir(parents=True)
    failed = machine.refuse(registries=[depot.wish()])
    assert "Spegel" in failed["got"]
    assert "prependExisting" in failed["remedy"]


@pytest.mark.parametrize(
    ("path", "owner", "way"),
    [
        ("/etc/machine-config-daemon/currentconfig", "OpenShift's machine config operator", "additionalTrustedCA"),
        (f"/{'/'.join(['home', 'kubernetes', 'kube-env'])}", "GKE", "the containerd configuration of the node pool"),
    ],
)
def test_somebody_else_manages_the_node(machine, depot, path, owner, way):
    machine.pretend(path)
    failed = machine.refuse(registries=[depot.wish()])
    assert (failed["where"], failed["got"]) == (path, f"its files belong to {owner}")
    assert way in failed["remedy"]
    assert "registry_node_trust_apply_via: render" in failed["remedy"]


@pytest.fixture
def sprayed(build, new):
    """Return a machine as kubespray leaves it."""
    machine = build(new, reads=False)
    arguments = "--config=/etc/kubernetes/kubelet-config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf"
    machine.pretend("/etc/kubernetes/kubelet.env", f'KUBELET_ARGS="{arguments} "\n')
    return machine


def test_a_hosts_toml_of_kubespray_comes_back(sprayed, depot):
    sprayed.config.write_text(sprayed.usual(sprayed.with_root()))
    folder = sprayed.root / depot.name
    folder.mkdir(parents=True)
    theirs = f'server = "https://{depot.name}"\n\n[host."https://{depot.name}"]\n  capabilities = ["pull","resolve"]\n'
    (folder / "hosts.toml").write_text(f"{theirs}  skip_verify = false\n  override_path = false\n")
    failed = sprayed.refuse(registries=[depot.wish()])
    assert failed["where"] == str(folder / "hosts.toml")
    assert f"Take {depot.name} out of that list in kubespray's inventory, delete the file" in failed["remedy"]


def test_a_registry_that_kubespray_does_not_list_is_nobody_elses(sprayed, depot):
    sprayed.config.write_text(sprayed.usual(sprayed.with_root()))
    result = sprayed.run(registries=[depot.wish()], verify="none")
    assert result["registries"][0]["files"] == [f"{sprayed.root}/{depot.name}/ca.crt"]


def test_the_configuration_of_kubespray_is_changed_in_its_inventory(sprayed, depot):
    failed = sprayed.refuse(registries=[depot.wish()], restart="now", restart_command=["false"])
    assert failed["where"] == str(sprayed.config)
    assert "kubespray has made this node, and writes the file again" in failed["got"]
    assert "containerd_use_config_path: true in kubespray's inventory" in failed["remedy"]


def test_mirrors_that_kubespray_has_written_are_changed_in_its_inventory(sprayed, new, depot):
    table = new.table.replace(".registry]", '.registry.mirrors."docker.io"]')
    sprayed.config.write_text(sprayed.usual(f'{table}\n  endpoint = ["https://a.test"]\n'))
    failed = sprayed.refuse(registries=[depot.wish()])
    assert "excludes config_path" in failed["got"]
    assert "take them out of containerd_registries_mirrors" in failed["remedy"]
    assert "containerd_use_config_path: true in kubespray's inventory" in failed["remedy"]


def test_a_client_certificate_without_a_key(machine, depot):
    folder = machine.root / depot.name
    folder.mkdir(parents=True)
    (folder / "client.cert").write_text(depot.ca)
    assert "without its key" in machine.refuse(registries=[depot.wish()])["got"]


def test_a_hosts_toml_of_somebody_else(machine, depot):
    folder = machine.root / depot.name
    folder.mkdir(parents=True)
    theirs = f'server = "https://{depot.name}"\n[host]\n'
    (folder / "hosts.toml").write_text(theirs)
    wish = depot.wish(image=depot.image)
    failed = machine.refuse(registries=[wish])
    assert "containerd does not read ca.crt" in failed["got"]
    # It is so: the CA beside their file is not read.
    (folder / "ca.crt").write_text(depot.ca)
    assert "x509" in machine.pull(depot.image)
    (folder / "ca.crt").unlink()
    there = machine.snapshot()
    machine.run(registries=[depot.wish(image=depot.image, replace_foreign=True)])
    assert [path.name for path in folder.iterdir()] == ["ca.crt"]
    assert machine.run(registries=[wish])["changed"] is False
    machine.run(registries=[{"name": depot.name, "state": "absent"}])
    assert machine.snapshot() == there


def test_two_entries_for_one_directory(machine, depot):
    failed = machine.refuse(registries=[depot.wish(), depot.wish()])
    assert "two entries" in failed["got"]


def test_a_runtime_that_is_not_there(machine, depot):
    failed = machine.refuse(registries=[depot.wish()], runtime_endpoint="/nowhere.sock")
    assert "nobody listens there" in failed["got"]


def test_an_image_of_another_registry(machine, depot):
    failed = machine.refuse(registries=[depot.wish(image="elsewhere.test/a:1")])
    assert depot.name in failed["remedy"]
