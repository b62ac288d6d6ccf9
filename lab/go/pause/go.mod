// SPDX-FileCopyrightText: homeport.registry contributors
// SPDX-License-Identifier: GPL-3.0-or-later

module homeport.lab/pause

go 1.26.0
