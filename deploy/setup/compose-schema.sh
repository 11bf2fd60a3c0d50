#!/usr/bin/env bash
# Fetch the JSON schema of compose files that the tests check ours with: npm's package dclint (MIT)
# carries it. Once, into the user's cache. Without npm or the registry it only says so.
set -euo pipefail
version=3.1.0 # as in tests/deploy/test_compose.py
sha512=69f4c67734455172b8c82a488845bf2ce47ef5338c10384d95d0e9e7a5425b39fb243983e39d4f7148bae3418694c1e06c7289d74ac3066e0fb697016e3aa55f
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pulmonode
target=$cache/compose-schema-$version.json
if [ ! -f "$target" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/compose.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if ! (cd "$work" && npm pack --silent "dclint@$version" >/dev/null); then
    echo "note: the schema of compose files cannot be fetched (npm pack dclint)" >&2
    exit 0
  fi
  archive=$work/dclint-$version.tgz
  if ! echo "$sha512  $archive" | sha512sum --check --status; then
    echo "error: dclint $version is another file than it was (sha512)" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$work"
  mv "$work/package/schemas/compose.schema.json" "$target"
fi
printf '  %-12s %s\n' "compose" "schema of dclint $version"
