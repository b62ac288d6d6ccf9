# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes trust the registry by its public name, and the kubelet of each pulls from it."""
