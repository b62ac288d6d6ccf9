# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of a registry on a real cluster, step by step of its life; molecule runs the steps in order."""

import pytest

# The tests of this module are collected where they are imported.
pytest.register_assert_rewrite("tests.verify.way_in")
