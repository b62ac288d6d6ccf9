#!/bin/sh
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Fetches, as the account $1, all the URLs that follow $2 again and again, a new connection for each, until the file $2
# exists. Prints what was not answered by 200, and at the end how many requests there were.
account=$1 stop=$2
shift 2
pulls=0
while [ ! -e "$stop" ]; do
  for url in "$@"; do
    code=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 10 -u "$account" \
      -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$url" 2>&1)
    [ "$code" = 200 ] || echo "failed: $code"
    pulls=$((pulls + 1))
  done
done
rm "$stop"
echo "$pulls"
