#!/usr/bin/env bash
# Make what compose.yaml reads from secrets/, once: make-secrets.sh [HOST NAME OF THE CONSOLE]
# The certificate is self-signed: put your own console.pem and console.key in its place.
set -euo pipefail
cd "$(dirname "$0")"
host=${1:-localhost}
mkdir -p secrets
umask 077
if [ ! -e secrets/postgres_password ]; then
  openssl rand -hex 24 | tr -d '\n' >secrets/postgres_password
fi
printf 'postgresql+psycopg://pulmonode:%s@postgres/pulmonode' "$(cat secrets/postgres_password)" \
  >secrets/state_url
if [ ! -e secrets/console.key ]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 825 -subj "/CN=$host" \
    -addext "subjectAltName=DNS:$host" -keyout secrets/console.key -out secrets/console.pem \
    2>/dev/null
fi
# Containers run as another user (10001), which reads them through compose's mounts.
chmod 0644 secrets/*
chmod 0711 secrets
