# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client would refuse is refused before it is installed, and the message says why."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from cryptography import x509

from ansible_collections.homeport.registry.plugins.filter.certificate_check import certificate_check
from ansible_collections.homeport.registry.plugins.module_utils import _certificates as certificates
from ansible_collections.homeport.registry.plugins.module_utils._errors import CertificateError
from tests.unit.certificates.conftest import make

HOST = "registry.example.com"

# The library makes no such signatures any more.
SIGNED_WITH_SHA1 = """\
-----BEGIN CERTIFICATE-----
MIIBKDCB0AIUWeLxHWUeaAk4qPcMzotdPTtM3cAwCQYHKoZIzj0EATAPMQ0wCwYD
VQQDDARSb290MCAXDTI2MTEyNTExNDUxM1oYDzIxMjYxMTAxMTE0NTEzWjAfMR0w
GwYDVQQDDBRyZWdpc3RyeS5leGFtcGxlLmNvbTBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABFP6DqzSPRXqjS3W6NlyEzhFV9P2KMlkqChuLJBg4q3lUp63xZiLp+hD
38hjfhZVIG+YVK4391hbMkO6Vl1GsOIwCQYHKoZIzj0EAQNIADBFAiEA7o1qmyLq
JTTZ2nP2fbsTSZbY+7gh6NA2J5NhYWGQcL4CIAzDB2lx2lUbdsBHadGWx+ReS8HQ
z8ikq0EA/n9vG2XF
-----END CERTIFICATE-----
"""


def refusal(chain, key, host=HOST):
    with pytest.raises(AnsibleFilterError) as caught:
        certificate_check(chain, key, host, name="registry_ingress_certificate")
    message = str(caught.value)
    assert "registry_ingress_certificate" in message
    return message


def test_a_whole_chain_is_accepted_and_its_root_found(root, middle, leaf):
    commented = f"subject=CN = {HOST}\n{leaf.crt}\nissuer:\n{middle.crt}{root.crt}"
    result = certificate_check(commented, leaf.pem_key, f"{HOST}:30443")
    assert result["chain"] == leaf.crt + middle.crt + root.crt
    assert result["authority"] == root.crt
    assert result["names"] == [HOST, "*.example.net", "192.0.2.7"]
    assert result["days_left"] == 100


def test_a_chain_without_its_root_is_accepted(middle, leaf):
    assert certificate_check(leaf.crt + middle.crt, leaf.pem_key, HOST)["authority"] == ""


@pytest.mark.parametrize("host", [HOST, "Registry.Example.COM", "a.example.net", "192.0.2.7", "192.0.2.7:5000"])
def test_hosts_that_a_certificate_covers(middle, leaf, host):
    assert certificate_check(leaf.crt + middle.crt, leaf.pem_key, host)


@pytest.mark.parametrize("host", ["other.example.com", "a.b.example.net", "example.net", "192.0.2.8", "x.0.2.7"])
def test_hosts_that_a_certificate_does_not_cover(middle, leaf, host):
    message = refusal(leaf.crt + middle.crt, leaf.pem_key, host)
    assert f"for {host}" in message
    assert "its subject alternative names are registry.example.com, *.example.net, 192.0.2.7" in message


def test_a_common_name_alone_covers_nothing(root):
    made = make(HOST, root)
    assert "no subject alternative names" in refusal(made.crt, made.pem_key)


def test_a_certificate_for_clients_is_refused(root):
    made = make(HOST, root, hosts=(HOST,), usages=(x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH,))
    assert "does not allow server authentication" in refusal(made.crt, made.pem_key)


def test_a_key_of_another_certificate_is_refused(root, middle, leaf):
    assert f"not the key of certificate 1 ({HOST})" in refusal(leaf.crt + middle.crt, root.pem_key)


def test_a_chain_that_begins_with_the_issuer_is_refused(middle, leaf):
    assert f"the private key is that of certificate 2 ({HOST})" in refusal(middle.crt + leaf.crt, leaf.pem_key)


def test_a_chain_with_a_gap_is_refused(root, leaf):
    message = refusal(leaf.crt + root.crt, leaf.pem_key)
    assert "names the issuer CN=Middle, but certificate 2 (Root) has not signed it" in message


def test_an_issuer_of_the_same_name_with_another_key_is_refused(root, leaf):
    impostor = make("Middle", root, ca=True)
    assert "certificate 2 (Middle) has not signed it" in refusal(leaf.crt + impostor.crt, leaf.pem_key)


def test_an_issuer_that_is_no_authority_is_refused(root):
    server = make("Server", root)
    made = make(HOST, server, hosts=(HOST,))
    assert "certificate 2 (Server) may not sign others" in refusal(made.crt + server.crt, made.pem_key)


def test_a_certificate_signed_with_sha1_is_refused():
    place = certificates.Place("here", "Get another.")
    with pytest.raises(CertificateError, match=rf"certificate 1 \({HOST}\) is signed with SHA1"):
        certificates.check_chain([x509.load_pem_x509_certificate(SIGNED_WITH_SHA1.encode())], place)


@pytest.mark.parametrize(("days", "saying"), [((-9, -2), "expired on"), ((3, 9), "is not valid before")])
def test_a_certificate_outside_its_time_is_refused(root, days, saying):
    made = make(HOST, root, hosts=(HOST,), days=days)
    assert saying in refusal(made.crt, made.pem_key)


def test_an_expired_issuer_is_refused(root):
    issuer = make("Old", root, ca=True, days=(-9, -2))
    made = make(HOST, issuer, hosts=(HOST,))
    assert "certificate 2 (Old) expired on" in refusal(made.crt + issuer.crt, made.pem_key)


@pytest.mark.parametrize(
    ("spoil", "saying"),
    [
        (lambda leaf: ("no certificate", leaf.pem_key), "no PEM text of one or more certificates"),
        (lambda leaf: (leaf.crt.replace("M", "!", 3), leaf.pem_key), "no PEM text of one or more certificates"),
        (lambda leaf: (leaf.crt, leaf.pem_key[:80]), "no PEM text of a key"),
        (lambda leaf: (leaf.crt, leaf.crt), "no PEM text of a key"),
        (lambda leaf: (leaf.crt, leaf.locked_key), "the private key is encrypted"),
    ],
)
def test_what_cannot_be_read_is_named_and_never_shown(leaf, spoil, saying):
    chain, key = spoil(leaf)
    message = refusal(chain, key)
    assert saying in message
    assert leaf.pem_key.splitlines()[1][:20] not in message


def test_values_that_are_no_text_are_refused(leaf):
    with pytest.raises(AnsibleFilterError, match="Expected text for the private key of the certificate"):
        certificate_check(leaf.crt, None, HOST)


@pytest.mark.parametrize(("warn_days", "warned"), [(100, False), (101, True)])
def test_an_end_that_is_near_is_warned_of(monkeypatch, middle, leaf, warn_days, warned):
    said: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text, **_more: said.append(text))
    certificate_check(leaf.crt + middle.crt, leaf.pem_key, HOST, warn_days=warn_days)
    assert said == (["the certificate expires in 100 days; renew it before clients refuse it"] if warned else [])
