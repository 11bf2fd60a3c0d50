#!/usr/bin/env bash
# Install the project into a virtual environment: install.sh PYTHON EXTRA
# The CPU build of PyTorch is tried first where an index offers it; a machine with a GPU sets
# PULMONODE_TORCH to the requirement it wants.
set -euo pipefail
python=$1
extra=$2
cd "$(dirname "$0")/../.."
"$python" -m pip install --quiet --disable-pip-version-check --upgrade pip
"$python" -m pip install --quiet --disable-pip-version-check "${PULMONODE_TORCH:-torch==2.13.0}" \
  || echo "note: ${PULMONODE_TORCH:-torch==2.13.0} is not to be had here, taking any release" >&2
"$python" -m pip install --quiet --disable-pip-version-check --editable ".[$extra]"
