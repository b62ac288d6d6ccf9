# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Makefile runs: virtual environment, installed collection, gates and stages."""
