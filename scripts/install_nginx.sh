#!/bin/sh
# Installs nginx for tests/e2e/test_nginx.py where that takes no more than apt. Never fails: the test says what is missing.
command -v nginx >/dev/null 2>&1 && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    exit 0
fi
echo 'Installing nginx for the tests.'
# The package would start a server on port 80; this keeps every service from starting while it is installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
fetch() { timeout 120 apt-get install -qq -y --no-install-recommends nginx >/dev/null 2>&1; }
fetch || { timeout 60 apt-get update -qq >/dev/null 2>&1 && fetch; } || echo 'nginx cannot be installed here.'
exit 0
