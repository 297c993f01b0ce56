#!/usr/bin/env bash
# Files shared between real BitTorrent clients by way of the real tracker; prints TAP.
# All of it runs in a network of its own where the machine allows that: as root, or in a user namespace.
set -u
here=$(dirname "$0")
tests=(/usr/bin/python3 -B "$here/clients.py" "$@")
if unshare --net --mount true 2>/dev/null; then
    exec unshare --net --mount "${tests[@]}" --namespaces
elif unshare --user --map-root-user --net --mount true 2>/dev/null; then
    exec unshare --user --map-root-user --net --mount "${tests[@]}" --namespaces
fi
exec "${tests[@]}"
