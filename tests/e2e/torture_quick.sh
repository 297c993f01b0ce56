#!/usr/bin/env bash
# A short run of tests/torture (make torture), so that every run of the tests has some of it; prints TAP.
set -u
here=$(dirname "$0")
exec /usr/bin/python3 -B "$here/../torture/torture.py" --quick
