// SPDX-FileCopyrightText: homeport.registry contributors
// SPDX-License-Identifier: GPL-3.0-or-later
// Holds no program: the definitions of the Gateway API are files of this module.

module homeport.lab/traefik

go 1.26.0

require sigs.k8s.io/gateway-api v1.5.1
