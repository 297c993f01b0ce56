#!/usr/bin/env bash
# The system calls that a worker makes under load, counted from outside by strace: for UDP a batch should be one receive and
# one send, and nothing else. strace slows the worker down, so times mean nothing here. It must be allowed to attach to another
# process (root, or kernel.yama.ptrace_scope=0). Environment, besides that of common.sh: CASES="udp http-keepalive http-close"
set -euo pipefail
self=run-syscalls
DURATION=${DURATION:-3s}
PEERS=${PEERS:-20000}
TORRENTS=${TORRENTS:-10000}
. "$(dirname "$0")/common.sh"
cases=${CASES:-udp http-keepalive http-close}

worker_thread() {
    local task
    for task in "/proc/$server/task"/*; do
        if [ "$(cat "$task/comm")" = worker-0 ]; then
            basename "$task"
            return 0
        fi
    done
    fail "the tracker has no thread worker-0"
}

run_case() { # CASE
    local tracer replies
    describe_case "$1"
    start_fresh_tracker
    load "$protocol" "127.0.0.1:$at" "$work/fill" --fill ${options[@]+"${options[@]}"}
    strace -c -U name,calls,errors -o "$work/strace" -p "$(worker_thread)" 2>"$work/strace.log" &
    tracer=$!
    sleep 0.5
    kill -0 "$tracer" 2>/dev/null || fail "strace: $(cat "$work/strace.log")"
    load "$protocol" "127.0.0.1:$at" "$work/load" ${options[@]+"${options[@]}"}
    kill -INT "$tracer"
    wait "$tracer" 2>/dev/null || true
    stop_server
    replies=$(awk '$1 == "replies" { print $2 }' "$work/load")
    printf '\n%s: %s replies; system calls of worker-0, also while there was no load\n' "$1" "$replies"
    printf '%-20s %10s %14s\n' call calls 'a 1000 replies'
    awk -v replies="$replies" '$2 ~ /^[0-9]+$/ && $1 != "total" { printf "%-20s %10d %14.2f\n", $1, $2, $2 * 1000 / replies }' \
        "$work/strace"
}

need strace
make_template
for case in $cases; do
    run_case "$case"
done
