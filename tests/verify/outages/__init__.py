# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server and the node go away during a collection. Only for a cluster that nobody else uses meanwhile."""
