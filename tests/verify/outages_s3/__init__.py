# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of a registry on an object store are emptied, or do not answer, while garbage is collected."""
