# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one step of a registry's life leaves for later ones: an image, and the password that a removal ends."""

from __future__ import annotations

from tests.verify.oci import index

LAYOUT = index("keepsake")
REPOSITORY = "kept/keepsake"
# In the client pod, which outlives the registry.
OLD_PASSWORD = "/work/old-password"
