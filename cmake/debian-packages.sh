#!/bin/sh
# Make sure that the Debian packages named are installed: as root by installing them, otherwise by saying which are missing.
set -eu
missing=""
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing packages:$missing" >&2
  echo "install them first (on Debian 12: sudo apt-get install$missing)" >&2
  exit 1
fi
echo "==> Debian packages:$missing"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
