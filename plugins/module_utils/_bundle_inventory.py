# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a receiver has, as digests only: small, without names, fit to be carried out. Private."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_stock import take_stock
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content

SCHEMA = "homeport.inventory/v1"
NAMESPACE = "homeport-inventory"
_DIGEST = re.compile(r"@(sha(?:256|512):[0-9a-f]+)$")


def take(session: Session, wanted: Sequence[str], threads: int) -> tuple[bytes, dict[str, t.Any]]:
    """Return the document of what can be read in a registry, and what is in it, for a module's result.

    Every manifest and the end of every blob is read, so that no delta builds on what the registry has lost.

    Args:
        session: with the right to pull.
        wanted: names and patterns of repositories.
        threads: connections to use at once.

    Raises:
        RegistryError: when the registry does not answer.
    """
    inventory = take_stock(session, wanted, threads)
    check = check_content(session, inventory, "blobs", threads=threads, fresh=True)
    problems = inventory.problems + check.problems
    lost = {match[1] for problem in problems if (match := _DIGEST.search(problem.where))}
    found: set[str] = set()
    for repository in inventory.repositories.values():
        for entry in repository.entries.values():
            found.add(entry.digest)
            found.update(blob.digest for blob in entry.blobs)
    digests = sorted(found - lost)
    return fmt.canonical({"schema": SCHEMA, "digests": digests}), {
        "digests": len(digests),
        "repositories": len(inventory.repositories),
        "problems": [problem._asdict() for problem in sorted(problems, key=lambda one: (one.where, one.kind))],
    }
