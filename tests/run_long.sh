#!/usr/bin/env bash
# The long tests, their tables, and the dated log that docs/evidence keeps: run_long.sh PYTEST_ARGS
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
log=docs/evidence/$(date -u +%F)-test-long.txt
mkdir -p docs/evidence build
[ "$#" = 0 ] && rm -rf build/faults
{
  echo "$(date -u +'%F %T') UTC, commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo ' with changes')"
  echo "$(nproc) cores, $(awk '/MemTotal/ {printf "%.0f", $2 / 1048576}' /proc/meminfo) GiB, $($python --version)"
  PATH="$PWD/.venv/bin:$PATH" deploy/setup/test-peers.sh
} | tee "$log"
$python -m pytest -m "long or not long" -v --color=no -p no:cacheprovider "$@" 2>&1 | tee -a "$log"
status=$?
sed -i "s#$PWD/##g" "$log"
[ "$status" = 0 ] && $python -m tests.faults.table
exit "$status"
