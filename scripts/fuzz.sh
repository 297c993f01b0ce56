#!/bin/sh
# Runs each fuzz target for some seconds over its seeds: scripts/fuzz.sh DIRECTORY SECONDS NAME…
# What it finds new stays beside the programs; a crash is written there and fails the run.
set -u
directory=$1
seconds=$2
shift 2
failed=0
for name; do
    found=$directory/found/$name
    mkdir -p "$found" "tests/fuzz/corpus/$name"
    echo "fuzz: $name for $seconds s"
    if ! "$directory/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
        -verbosity=0 -artifact_prefix="$directory/$name-" "$found" "tests/fuzz/corpus/$name"; then
        echo "fuzz: $name FAILED; its input is $directory/$name-*" >&2
        failed=$((failed + 1))
    fi
done
echo "fuzz: $# targets, $failed failed"
[ "$failed" -eq 0 ]
