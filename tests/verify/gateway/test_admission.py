# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in through the controller, and that there is no other."""

from __future__ import annotations

from tests.verify.way_in import (
    test_a_big_layer_goes_in_and_out,
    test_images_go_in_and_out,
    test_nobody_gets_around_the_controller,
    test_only_the_api_is_published,
    test_uploads_stay_on_this_way,
)

__all__ = [
    "test_a_big_layer_goes_in_and_out",
    "test_images_go_in_and_out",
    "test_nobody_gets_around_the_controller",
    "test_only_the_api_is_published",
    "test_uploads_stay_on_this_way",
]
