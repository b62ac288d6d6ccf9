#!/bin/sh
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Fetches, as the account $1, all the URLs that follow $2 again and again, a new connection for each, until the file $2
# exists, and then once more; $2.begun exists when all have been fetched once. Prints curl's exit status and the HTTP
# status of what was not answered whole by 200, and at the end how many requests there were.
account=$1 stop=$2
shift 2
pulls=0 last=''
while [ -z "$last" ]; do
  [ ! -e "$stop" ] || last=yes
  for url in "$@"; do
    said=$(curl -s -o /dev/null -w 'HTTP %{http_code}' --max-time 10 -u "$account" \
      -H 'Accept: application/vnd.oci.image.manifest.v1+json' "$url")
    said="curl $? $said"
    [ "$said" = "curl 0 HTTP 200" ] || echo "$said"
    pulls=$((pulls + 1))
  done
  : > "$stop.begun"
done
rm "$stop" "$stop.begun"
echo "$pulls"
