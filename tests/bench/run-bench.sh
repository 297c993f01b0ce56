#!/usr/bin/env bash
# Runs the bare responder and the tracker in turn under the same load, several times, and prints how near the
# tracker comes to the floor: CPU time a reply of the floor's thread / of the tracker's worker, medians with spread.
#
# The tracker is started anew for each round, with one worker, everything on, and a state directory of its own; the
# floor answers with as many bytes as the tracker did. With WORKERS=2 SERVER_CPU=0,1 LOAD_CPU=0,1 LOAD_THREADS=2 both have two
# threads on two cores, which the generator shares, and the CPU time is that of both. Environment, besides that of common.sh:
#   ROUNDS=5  PIPELINE=8
#   CASES="udp http-keepalive http-pipelined http-close https-keepalive https-resumed https-new https-new-rsa"
set -euo pipefail
self=run-bench
. "$(dirname "$0")/common.sh"
rounds=${ROUNDS:-5}
cases=${CASES:-udp http-keepalive http-pipelined http-close https-keepalive https-resumed https-new https-new-rsa}

# Over TLS the handshakes of filling would take minutes: the peers come over plain HTTP.
fill_tracker() {
    [ "$floor_protocol" = https ] || return 0
    "$bench" http --target "127.0.0.1:$port" --cpu "$load_cpu" --users "$users" --torrents "$torrents" --peers "$peers" \
        --numwant 0 --keepalive --pipeline 8 --fill --requests 1 --quiet >"$work/fill" || fail "filling failed: $(cat "$work/fill")"
}

run_round() { # CASE ROUND
    local tracker=$work/$1.tracker.$2 floor=$work/$1.floor.$2 fill=(--fill)
    [ "$floor_protocol" = https ] && fill=()
    start_fresh_tracker
    fill_tracker
    load "$protocol" "127.0.0.1:$at" "$tracker" ${fill[@]+"${fill[@]}"} ${options[@]+"${options[@]}"}
    if [ "$workers" -gt 1 ]; then
        printf '%-15s round %d: %s announces went through a mailbox to the worker that owns their torrent, of %s in all\n' \
            "$1" "$2" "$(stat_of mailed)" "$(awk -v filled="$peers" '$1 == "requests" { print $2 + filled }' "$tracker")"
    fi
    stop_server
    start_floor "$floor_protocol" "$((port + 2))" "$(reply_bytes "$tracker")" ${floor_options[@]+"${floor_options[@]}"}
    load "$protocol" "127.0.0.1:$((port + 2))" "$floor" ${options[@]+"${options[@]}"}
    stop_server
    echo "$(worker_us "$floor") $(worker_us "$tracker")" >>"$work/$1.us"
    printf '%-15s round %d: floor %s us/reply, tracker %s us/reply, the generator %s and %s\n' "$1" "$2" \
        "$(worker_us "$floor")" "$(worker_us "$tracker")" "$(own_us "$floor")" "$(own_us "$tracker")"
}

report_case() {
    local case=$1 tracker=$work/$1.tracker floor=$work/$1.floor
    {
        printf '%s: floor / tracker, CPU time a reply: %s\n' "$case" "$(awk '{ print $1 / $2 }' "$work/$case.us" | summary %.3f)"
        printf '  floor    %s us/reply, %s replies/s\n' "$(each worker_us "$floor".* | summary %.2f)" \
            "$(each replies_per_second "$floor".* | summary %.0f)"
        printf '  tracker  %s us/reply, %s replies/s, %s peers/reply\n' "$(each worker_us "$tracker".* | summary %.2f)" \
            "$(each replies_per_second "$tracker".* | summary %.0f)" "$(each peers_per_reply "$tracker".* | summary %.1f)"
        printf '  beside it: ledger and sinks %s us/reply, the generator %s us/reply\n' \
            "$(each beside_us "$tracker".* | summary %.2f)" "$(each own_us "$tracker".* | summary %.2f)"
        printf '  failures and losses: %s\n' "$(each trouble "$tracker".* "$floor".* | awk '{ sum += $1 } END { print sum + 0 }')"
    } >>"$work/report"
}

make_template
for case in $cases; do
    describe_case "$case"
done
for case in $cases; do
    describe_case "$case"
    for round in $(seq "$rounds"); do
        run_round "$case" "$round"
    done
    report_case "$case"
done
echo
cat "$work/report"
