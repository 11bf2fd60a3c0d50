#!/usr/bin/env bash
# Install the real peers that the tests talk to, with apt, where they are missing; then say
# which versions the tests will use. Without root it only says what is missing: the tests
# then skip with that reason (and fail where CI=true).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
declare -A package=(
  [Orthanc]=orthanc [dcmsend]=dcmtk [dsrdump]=dcmtk [redis-server]=redis-server
)
missing=()
for program in "${!package[@]}"; do
  PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends $(printf '%s\n' "${missing[@]}" | sort -u) >/dev/null
  else
    echo "missing (apt-get install): ${missing[*]}" >&2
  fi
fi
version() { # NAME COMMAND...: the first number that the command prints
  local found
  found=$("${@:2}" 2>&1 | grep -oE '[0-9]{8}|[0-9]+\.[0-9][^ ,]*' | head -n 1) || found=missing
  printf '  %-12s %s\n' "$1" "$found"
}
echo "peers that the tests use:"
PATH="$PATH:/usr/sbin"
version Orthanc Orthanc --version
version DCMTK dcmsend --version
version Redis redis-server --version
version dicom3tools python -c 'import importlib.metadata as m; print(m.version("dicom3tools"))'
