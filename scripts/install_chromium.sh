#!/bin/sh
# Installs Chromium for tests/e2e/browser and a Vulkan loader for web/tests, whose kernels run on Chromium's software
# driver. CI installs at once, a person is asked, and nobody there to ask means no. Never fails: tests say what is missing.
needed=
command -v chromium >/dev/null 2>&1 || needed="chromium fonts-dejavu-core"
ldconfig -p 2>/dev/null | grep -q libvulkan.so.1 || needed="$needed libvulkan1"
needed=${needed# }
[ -z "$needed" ] && exit 0

without="tests of the browser node that need it are skipped"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed: $needed; $without. As root on Debian: apt-get install $needed"
    exit 0
fi
if [ "${CI:-}" != true ]; then
    if [ ! -t 0 ] || [ ! -t 1 ]; then
        echo "Not installed: $needed; $without. To install: CI=true $0"
        exit 0
    fi
    printf 'The browser tests need these packages of Debian: %s (about 400 MB). Install them with apt? [y/N] ' "$needed"
    read -r answer
    case "$answer" in
        [yY]*) ;;
        *) echo "Not installed; $without." && exit 0 ;;
    esac
fi
echo "Installing $needed for the tests."
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
fetch() { timeout 300 apt-get install -qq -y --no-install-recommends $needed >/dev/null 2>&1; }
fetch || { timeout 60 apt-get update -qq >/dev/null 2>&1 && fetch; } || echo "$needed cannot be installed here; $without."
exit 0
