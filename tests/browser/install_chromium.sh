#!/bin/sh
# Chromium for the browser tests, from the system's packages. Where that is not possible nothing happens, and the
# browser tests are skipped with a sentence on what to install. A font comes along: without one pages have no text.
for name in chromium chromium-browser google-chrome google-chrome-stable; do
	command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "No Chromium here: the browser tests are skipped. On Debian: apt-get install chromium fonts-dejavu-core" >&2
	exit 0
fi
echo "installing Chromium for the browser tests"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null 2>&1
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null 2>&1 ||
	echo "Chromium could not be installed: the browser tests are skipped." >&2
exit 0
