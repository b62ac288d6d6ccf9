# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry whose front pods an autoscaler adds under load, by real measurements of the lab's add-on metrics."""
