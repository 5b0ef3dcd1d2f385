#!/bin/sh
# Make sure that the Debian packages named are installed: as root by installing them, otherwise by saying which are missing.
set -eu
missing=""
for package in "$@"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing packages:$missing" >&2
  echo "install them first (on Debian or Ubuntu: sudo apt-get install$missing)" >&2
  exit 1
fi
echo "==> Debian packages:$missing"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
