#!/bin/sh
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes, in $1, an OCI layout of one layer of $2 random bytes under the tag $3, and prints the digest of its manifest.
# It runs in a client pod: such a layer is too big to be copied there.
set -eu
mkdir -p "$1/blobs/sha256"
cd "$1"
put() {
  digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
  described="\"digest\":\"sha256:$digest\",\"size\":$(wc -c <"$1")"
  mv "$1" "blobs/sha256/$digest"
}
type=application/vnd.oci.image
head -c "$2" /dev/urandom >layer
put layer
layer=$described
printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$digest" >config
put config
printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s",%s},"layers":[{"mediaType":"%s",%s}]}' \
  "$type.manifest.v1+json" "$type.config.v1+json" "$described" "$type.layer.v1.tar" "$layer" >manifest
put manifest
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s",%s,"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
  "$type.manifest.v1+json" "$described" "$3" >index.json
printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout
echo "sha256:$digest"
