# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One line in /etc/hosts. Private."""

from __future__ import annotations

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError

PATH = "/etc/hosts"
MARK = "# homeport.registry"


def with_line(text: str, host: str, address: str) -> str:
    """Return the text with our line for a host, or without it where the address is empty.

    Raises:
        NodeError: when a line of somebody else gives the host another address.
    """
    kept = []
    there = False
    for line in text.splitlines(keepends=True):
        words = line.partition("#")[0].split()
        ours = line.rstrip().endswith(MARK)
        if host not in words[1:]:
            kept.append(line)
        elif ours:
            wanted = address and words[0] == address and not there
            kept += [line] if wanted else []
            there = there or bool(wanted)
        else:
            if address and words[0] != address:
                raise NodeError(
                    f"give {host} an address",
                    where=PATH,
                    got=f"another line there says {words[0]}",
                    remedy=f"Remove that line, or leave out the address {address}.",
                )
            kept.append(line)
            there = True
    result = "".join(kept)
    if address and not there:
        result += "" if not result or result.endswith("\n") else "\n"
        result += f"{address} {host} {MARK}\n"
    return result
