# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""This very host, by a connection that Ansible does not take for local."""

from __future__ import annotations

from ansible.plugins.connection.local import DOCUMENTATION as LOCAL
from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = LOCAL.replace("name: local", "name: elsewhere")


class Connection(LocalConnection):
    """The local connection under another name."""

    transport = "elsewhere"
