# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of a registry on a real cluster, step by step of its life; molecule runs the steps in order."""
