#!/bin/sh
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Pushes new images of $3 random bytes to the repository $2 as the account $1 until the folder $4 holds a file "stop".
# Each push is tried until it is acknowledged; the acknowledged ones are in the file "acknowledged", one "tag digest" a line,
# and all that skopeo said on the way is in the file "said". $5 is the script that makes an image.
account=$1 repository=$2 size=$3 folder=$4 make=$5
mkdir -p "$folder"
: >"$folder/acknowledged"
: >"$folder/said"
number=0
while [ ! -e "$folder/stop" ]; do
  number=$((number + 1))
  digest=$(sh -c "$make" sh "$folder/image" "$size" "$number") || exit 1
  until skopeo --debug --insecure-policy copy --preserve-digests --dest-tls-verify=false --dest-creds "$account" \
    "oci:$folder/image:$number" "$repository:$number" >/dev/null 2>>"$folder/said"; do
    sleep 0.5
  done
  echo "$number $digest" >>"$folder/acknowledged"
  rm -r "$folder/image"
done
