# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry with two front pods and two writers on two nodes, on one volume that both nodes write to."""
