#!/usr/bin/env bash
# Fetch the OHIF viewer that the browser tests use: npm's package of its ready pages, 50 MB, into
# the user's cache, once. Without npm or the registry it only says so: the tests then skip with
# that reason (and fail where CI=true).
set -euo pipefail
version=3.13.2 # as in tests/viewers/ohif.py
# of the package as it was when these tests were written
sha512=5997719a9986eeba85816f5924b71b82bdd70ad2e2d4a0cd3e831a798e4f3deea3e06e1f8c48e393271933a0ba664d85f3b04ac457e9abe8dde715d907d13c10
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pulmonode
folder=$cache/ohif-$version
if [ ! -f "$folder/dist/index.html" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/ohif.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if ! (cd "$work" && npm pack --silent "@ohif/app@$version" >/dev/null); then
    echo "note: OHIF $version cannot be fetched (npm pack @ohif/app)" >&2
    exit 0
  fi
  archive=$work/ohif-app-$version.tgz
  if ! echo "$sha512  $archive" | sha512sum --check --status; then
    echo "error: @ohif/app $version is another file than it was (sha512)" >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$work"
  rm -rf "$folder"
  mv "$work/package" "$folder"
fi
printf '  %-12s %s\n' OHIF "$version"
