#!/usr/bin/env bash
# Makes sure that the images' base is on this machine: pulled where a registry can be reached, and where none can, a
# stand-in of the same name from Debian's own packages (root, debootstrap), whose Python is Debian's 3.11.
set -euo pipefail
docker=${DOCKER:-docker}
base=${BASE_IMAGE:-python:3.11-slim-bookworm}

if "$docker" image inspect "$base" >/dev/null 2>&1; then
    exit 0
fi
if timeout 120 "$docker" pull "$base" 2>/dev/null; then
    exit 0
fi
echo "No registry gives $base: making a stand-in with debootstrap." >&2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" >"$root.log" 2>&1 || {
    tail -20 "$root.log" >&2
    exit 1
}
rm -f "$root.log"
tar -C "$root" --exclude=./var/cache/apt/archives/*.deb --exclude='./var/lib/apt/lists/*_*' --exclude=./usr/share/doc/* \
    --exclude=./usr/share/man/* --exclude='./usr/share/locale/*' -c . |
    "$docker" import --change 'LABEL org.opencontainers.image.title="stand-in for a base image"' - "$base" >/dev/null
