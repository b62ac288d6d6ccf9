# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Annotations for a controller that does not run in the lab are ones that it reads, by its own source.

Those for HAProxy and F5 NGINX were compared by hand with the lists in their repositories; no module can be had of them.
"""

from __future__ import annotations

import re

import pytest

from tests.lab.published import published
from tests.unit.contract.collection import installed, load

INGRESS_NGINX = "k8s.io/ingress-nginx@v0.0.0-20240708192948-52c50467d67d"
PREFIX = "nginx.ingress.kubernetes.io/"
ANNOTATIONS = load((installed() / "roles" / "registry_ingress" / "vars" / "main.yml").read_text(encoding="utf-8"))[
    "__registry_ingress_ingress_nginx"
]["annotations"]


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    """Return the kinds of values of the annotations about proxying, by name."""
    folder = published(INGRESS_NGINX) / "internal" / "ingress" / "annotations" / "proxy"
    source = (folder / "main.go").read_text(encoding="utf-8")
    names = dict(re.findall(r"(\w+Annotation) += \"([a-z-]+)\"", source))
    kinds = re.findall(r"\n\t\t(\w+Annotation): \{\n\t\t\tValidator: +([^\n]+),\n", source)
    return {names[name]: kind for name, kind in kinds}


@pytest.mark.parametrize("name", sorted(ANNOTATIONS))
def test_ingress_nginx_reads_it(known: dict[str, str], name: str) -> None:
    assert name.startswith(PREFIX)
    kind = known[name.removeprefix(PREFIX)]
    value = ANNOTATIONS[name]
    if "ValidateInt" in kind:
        # A text here, and a number once the template is filled in.
        assert "__registry_ingress_seconds" in value
    elif "SizeRegex" in kind:
        assert re.fullmatch(r"[0-9]+[bkmgt]?", value)
    else:
        assert f'"{value}"' in kind
