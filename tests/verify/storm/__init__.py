# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage is collected under a storm of pushes and pulls, and the collector is killed: nothing is lost."""
