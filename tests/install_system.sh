#!/bin/sh
# Debian packages that the tests drive for real, or those named. Does nothing where all are there already or apt is not.
set -eu
packages="${*:-age chromium iproute2 libreoffice-calc-nogui mariadb-client-core mariadb-server-core mosquitto openssl poppler-utils postgresql rtklib snmpd softhsm2 tshark zbar-tools}"
command -v apt-get >/dev/null 2>&1 || exit 0
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -n"
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
