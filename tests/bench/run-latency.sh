#!/usr/bin/env bash
# Latency in an open loop: finds the top rate in a closed loop, then asks 20, 50 and 80 % of it of the tracker, while
# snapshots are written, sessions expire, users change and are read anew, and all deltas are flushed. Latencies count
# from when a request was due, whether or not the generator could send it then: a stall shows in all that it delays.
# How late the generator itself was is told beside: where that is as long, the tracker was not what was waited for.
#
# At the end the open loop at the top rate is held against the closed one: both should cost the worker the same for a
# reply. Environment, besides that of common.sh:
#   CASES="udp http-keepalive"  SHARES="20 50 80"  DURATION=10s
# SERVER_CPU may be a list such as 0,2: ledger, sinks and snapshots need a core beside the worker's.
set -euo pipefail
self=run-latency
DURATION=${DURATION:-10s}
. "$(dirname "$0")/common.sh"
cases=${CASES:-udp http-keepalive}
shares=${SHARES:-20 50 80}
upkeep=

# Peers that are silent for 20 s go, and soon are forgotten: at these rates some always are.
expiry='database: {refresh_interval: 1s}'
expire_soon() {
    sed -i 's/^tracker: {/&announce_interval: 10s, announce_jitter: 0s, peer_lifetime: 20s, tombstone_lifetime: 30s, /' \
        "$work/tracker.yaml"
}

# What an operator, a site and time do, all the while: a round every two seconds. Their own programs are not to be measured.
keep_busy() {
    local round=0
    while sleep 2; do
        round=$((round + 1))
        nice -n 19 sqlite3 -cmd '.timeout 5000' "$work/state/privtrak.db" \
            "UPDATE users SET upload_percent = 100 + $((round % 2)) WHERE id % 50 = $((round % 50))" || true
        nice -n 19 "$build/privtrakctl" -c "$work/tracker.yaml" snapshot && echo snapshot || true
        nice -n 19 "$build/privtrakctl" -c "$work/tracker.yaml" flush || true
    done >"$work/upkeep.log" 2>&1
}
start_upkeep() {
    keep_busy &
    upkeep=$!
}
stop_upkeep() {
    [ -z "$upkeep" ] || { kill "$upkeep" && wait "$upkeep"; } 2>/dev/null || true
    upkeep=
}
trap 'stop_upkeep; clean_up' EXIT

unsent() { awk '$1 == "schedule" { print $4 }' "$1"; }

row='%-16s %10s %8s %9s %9s %9s %9s %9s %9s %8s %8s %9s\n'
# shellcheck disable=SC2059 # the row's form is one
print_row() { # LABEL FILE [SNAPSHOTS]
    printf "$row" "$1" "$(replies_per_second "$2")" "$(worker_us "$2")" \
        "$(quantile p50 "$2")" "$(quantile p99 "$2")" "$(quantile p99.9 "$2")" "$(quantile max "$2")" \
        "$(lateness p99 "$2")" "$(lateness max "$2")" "$(unsent "$2")" "$(trouble "$2")" "${3:-}"
}

run_case() {
    local case=$1 top share rate
    describe_case "$case"
    start_fresh_tracker
    load "$protocol" "127.0.0.1:$at" "$work/top" --fill ${options[@]+"${options[@]}"}
    top=$(replies_per_second "$work/top")
    printf '\n%s: a worker, latencies in us from when a request was due\n' "$case"
    printf "$row" load replies/s us/reply p50 p99 p99.9 max late-p99 late-max unsent trouble snapshots
    print_row "closed loop" "$work/top"
    start_upkeep
    for share in $shares; do
        rate=$((top * share / 100))
        : >"$work/upkeep.log"
        load "$protocol" "127.0.0.1:$at" "$work/open" --rate "$rate" --warm-up 2s ${options[@]+"${options[@]}"}
        print_row "$share % of the top" "$work/open" "$(grep -c '^snapshot$' "$work/upkeep.log")"
    done
    stop_upkeep
    printf 'sessions that left the swarms, and are not yet forgotten: %s\n' "$(stat_of tombstones)"
    load "$protocol" "127.0.0.1:$at" "$work/open" --rate "$top" --warm-up 2s ${options[@]+"${options[@]}"}
    load "$protocol" "127.0.0.1:$at" "$work/closed" ${options[@]+"${options[@]}"}
    awk -v closed="$(worker_us "$work/closed")" -v open="$(worker_us "$work/open")" 'BEGIN {
        printf "the worker, us a reply: closed loop %.2f, open loop at its rate %.2f, ratio %.2f\n", closed, open, open / closed }'
    stop_server
}

make_template "$expiry"
expire_soon
for case in $cases; do
    run_case "$case"
done
