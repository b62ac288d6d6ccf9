# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An own authority is made once; its certificates come and go under it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.certificate_plan import ISSUER, certificate_plan
from tests.unit.certificates.conftest import make

HOST = "registry.example.com"


def plan(*secrets, hosts=(HOST,), **options):
    return certificate_plan(list(secrets), "registry-ca", "registry-tls", list(hosts), **options)


def own(made):
    return made.secret("registry-tls", **{ISSUER: "self_signed"})


@pytest.fixture
def authority(root):
    return root.secret("registry-ca")


def issued(root, *hosts, days=100):
    return own(make(HOST, root, hosts=hosts or (HOST,), days=(-1, days)))


def test_where_there_is_nothing_both_are_made(leaf):
    expected = {"authority": "make", "leaf": "make", "days": 365, "reason": "there is no authority yet"}
    assert plan() == {**expected, "names": [f"DNS:{HOST}"]}
    # Certificates of somebody else do not count.
    assert plan(leaf.secret("registry-tls"), leaf.secret("another")) == plan()


def test_what_is_right_is_kept(root, authority):
    result = plan(authority, issued(root, "Registry.example.com", "2001:db8:0:0::1"), hosts=(HOST, "2001:DB8::1"))
    assert (result["authority"], result["leaf"], result["reason"]) == ("keep", "keep", "")


def test_an_authority_alone_gets_a_certificate(authority):
    result = plan(authority, hosts=(HOST, "192.0.2.7"), days=30)
    assert (result["authority"], result["leaf"], result["days"]) == ("keep", "make", 30)
    assert result["names"] == [f"DNS:{HOST}", "IP:192.0.2.7"]


@pytest.mark.parametrize(("left", "leaf"), [(61, "keep"), (59, "make"), (-1, "make")])
def test_a_certificate_is_renewed_before_its_end(root, authority, left, leaf):
    result = plan(authority, issued(root, days=left), renew_days=60)
    assert (result["authority"], result["leaf"]) == ("keep", leaf)
    assert ("ends on" in result["reason"]) == (leaf == "make")


def test_other_names_need_another_certificate(root, authority):
    result = plan(authority, issued(root, "old.example.com"))
    assert (result["leaf"], result["reason"]) == ("make", "the certificate is for old.example.com")


def test_a_certificate_by_another_authority_is_replaced(middle, authority):
    result = plan(authority, issued(middle))
    assert (result["leaf"], result["reason"]) == ("make", "the certificate is not by the present authority")


def test_a_broken_certificate_is_replaced(root, authority):
    broken = issued(root)
    broken["data"]["tls.key"] = root.secret("x")["data"]["tls.key"]
    assert plan(authority, broken)["leaf"] == "make"
    del broken["data"]["tls.key"]
    assert plan(authority, broken)["leaf"] == "make"


def test_no_certificate_outlives_its_authority_or_is_made_again_for_nothing():
    ending = make("Ending", ca=True, days=(-900, 40))
    result = plan(ending.secret("registry-ca"))
    assert (result["leaf"], result["days"]) == ("make", 40)
    assert plan(ending.secret("registry-ca"), issued(ending, days=40))["leaf"] == "keep"


def test_a_lost_authority_is_never_replaced(root):
    with pytest.raises(AnsibleFilterError, match="while Secret registry-tls holds a certificate of it") as caught:
        plan(issued(root))
    assert "Restore the Secret." in str(caught.value)


@pytest.mark.parametrize(
    ("made", "saying"),
    [
        (lambda _root: make("Ended", ca=True, days=(-9, -1)), "the authority Ended ends on"),
        (lambda root: make("Server", root), "the certificate Server is not that of an authority"),
    ],
)
def test_an_authority_that_cannot_sign_is_never_replaced(root, made, saying):
    with pytest.raises(AnsibleFilterError, match=saying) as caught:
        plan(made(root).secret("registry-ca"))
    assert "Nothing replaces an authority by itself" in str(caught.value)


def test_an_authority_with_a_foreign_key_is_never_replaced(root, middle):
    broken = root.secret("registry-ca")
    broken["data"]["tls.key"] = middle.secret("x")["data"]["tls.key"]
    with pytest.raises(AnsibleFilterError, match=r"Secret registry-ca.*not the key of certificate 1 \(Root\)"):
        plan(broken)
