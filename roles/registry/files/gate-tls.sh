# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Where TLS ends in the gate, a Secret with the certificate is mounted here.
tls=/etc/gate-tls
# Adds to a file of nginx ($2) what makes it speak TLS at a port ($1).
listen_tls() {
  [ -d "$tls" ] || return 0
  taken=$(readlink "$tls/..data")
  if [ -s /proc/net/if_inet6 ]; then
    echo "listen [::]:$1 ssl;" >> "$2"
  fi
  cat >> "$2" <<END
listen $1 ssl;
ssl_certificate $tls/tls.crt;
ssl_certificate_key $tls/tls.key;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:4m;
ssl_session_timeout 10m;
END
}
# A renewed certificate appears in the mounted Secret all at once, under a new name of its folder. nginx ($1) takes it up with new
# workers, while the old ones finish what they have begun, however long that takes. Kubelet brings it within a minute or so.
take_up_renewals() {
  [ -d "$tls" ] || return 0
  while sleep 5; do
    found=$(readlink "$tls/..data")
    if [ "$found" != "$taken" ]; then
      taken=$found
      if nginx -e stderr -c /etc/gate/nginx.conf -t -q; then
        kill -s HUP "$1"
        echo "gate: took up the renewed certificate" >&2
      else
        echo "gate: kept the previous certificate, because nginx refuses the new one" >&2
      fi
    fi
  done
}
