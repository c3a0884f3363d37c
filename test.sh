#!/usr/bin/env bash
# Runs every test. As root, it first installs the Debian packages that the tests use and that are missing; a test that
# still cannot run says `skipped: why` and is counted. Last line: N passed, N failed, N skipped.
# usage: ./test.sh [arguments of cargo test]        ./test.sh --test tour labels
set -euo pipefail
cd "$(dirname "$0")"

packages=(bird2 busybox-static conntrack curl dnsutils haproxy iproute2 nftables nginx-light procps)
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  missing=()
  for package in "${packages[@]}"; do
    dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    apt-get update -qq > /dev/null
    # No service is started by being installed: tests start what they need in namespaces of their own.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
    rm -f /usr/sbin/policy-rc.d
  fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
# Of tests that pass, only what they skipped is shown.
cargo test --workspace --no-fail-fast "$@" -- --show-output 2>&1 | tee "$log" | awk '
  /^successes:$/ { quiet = 1 }
  /^(failures:|test result:)/ { quiet = 0 }
  !quiet || /^skipped:/ { print }' || failed=1

awk -v broken="$failed" '
  /^test result:/ { passed += $4; failed += $6 }
  /^skipped:/     { skipped++ }
  END {
    if (broken && !failed) failed = 1   # it did not build, or a test ended its process
    printf "%d passed, %d failed, %d skipped\n", passed - skipped, failed, skipped
    exit failed > 0
  }' "$log"
