#!/usr/bin/env bash
# Make a virtual environment: virtual-environment.sh PYTHON FOLDER
# Needs Python 3.11 or newer with its venv module (Debian: python3-venv).
set -euo pipefail
python=$1
folder=$2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "error: $python is not Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! "$python" -m venv "$folder"; then
  rm -rf "$folder"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3-venv
    "$python" -m venv "$folder"
  else
    echo "error: no venv module; on Debian: apt-get install python3-venv" >&2
    exit 1
  fi
fi
