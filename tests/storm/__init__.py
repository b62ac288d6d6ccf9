# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes to and pulls from any registry while something else happens to it, and proves what was lost, if anything."""
