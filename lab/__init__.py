# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real two-node Kubernetes cluster on one Linux machine, by the stock ``kind`` command."""
