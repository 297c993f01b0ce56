#!/usr/bin/env bash
# Side by side: the same load in turn against the bare responder, privtrak, Debian's opentracker, and any other tracker
# that is given by its address; and one table of CPU time a reply, peers a reply and memory a peer for each protocol.
#
# privtrak runs with everything on (passkeys, accounts, journal, database); its column "us/reply" is the worker's CPU time, what
# ledger and sinks use stands under "beside". Of opentracker, and of another tracker, the whole process counts. Debian builds
# opentracker so that it takes only torrents of a white list: that is filled with the generator's. Environment, besides
# that of common.sh:
#   CASES="udp http-close"  ROUNDS=3
#   OPENTRACKER=opentracker          the program; empty: left out
#   OTHER=127.0.0.1:7000             another tracker, running, which has to take the generator's torrents from anybody
#   OTHER_NAME=other  OTHER_PID=     how it is called, and its process, for CPU time and memory
set -euo pipefail
self=run-peers
. "$(dirname "$0")/common.sh"
rounds=${ROUNDS:-3}
cases=${CASES:-udp http-close}
opentracker=${OPENTRACKER-opentracker}
other=${OTHER:-}
other_name=${OTHER_NAME:-other}
other_pid=${OTHER_PID:-}

resident_kib() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }

# It goes into a folder of its own and becomes nobody there, where it is started by root.
start_opentracker() {
    mkdir -p "$work/opentracker"
    chmod 755 "$work/opentracker"
    "$bench" torrents --torrents "$torrents" >"$work/opentracker/whitelist.txt"
    cat >"$work/opentracker/opentracker.conf" <<CONF
listen.tcp_udp 127.0.0.1:$((port + 3))
access.whitelist whitelist.txt
tracker.rootdir $work/opentracker
tracker.user nobody
CONF
    (cd "$work/opentracker" && exec taskset -c "$server_cpu" "$opentracker" -f opentracker.conf) >"$work/opentracker.log" 2>&1 &
    server=$!
    for _ in $(seq 50); do
        { : </dev/tcp/127.0.0.1/$((port + 3)); } 2>/dev/null && return 0
        sleep 0.1
    done
    cat "$work/opentracker.log" >&2
    fail "opentracker did not start"
}

fill() { # NAME HOST:PORT PEERS SEED OUTPUT
    "$bench" "$protocol" --target "$2" --cpu "$load_cpu" --users "$users" --torrents "$torrents" --peers "$3" \
        --peer-seed "$4" --numwant 0 --fill --requests 1 --quiet >"$5" || fail "filling $1 failed: $(cat "$5")"
}

# Fills the tracker before it is measured. The first peers are others: they touch what a process needs but once, so that
# the memory is that of the peers which come then.
measure() { # NAME HOST:PORT PID OUTPUT
    local name=$1 address=$2 pid=$3 output=$4 before=0 after=0
    fill "$name" "$address" $((peers / 10 + 1000)) 77 "$output.fill"
    [ -z "$pid" ] || before=$(resident_kib "$pid")
    fill "$name" "$address" "$peers" 1 "$output.fill"
    [ -z "$pid" ] || after=$(resident_kib "$pid")
    watched=$pid load "$protocol" "$address" "$output" ${options[@]+"${options[@]}"}
    echo $(((after - before) * 1024 / peers)) >"$output.memory"
}

run_round() { # CASE ROUND
    local name output
    for name in $names; do
        output=$work/$1.$name.$2
        case $name in
        privtrak)
            start_fresh_tracker
            measure "$name" "127.0.0.1:$port" "$server" "$output"
            ;;
        floor)
            # As many bytes as privtrak answered with in this round, which is measured first.
            start_floor "$protocol" "$((port + 2))" "$(reply_bytes "$work/$1.privtrak.$2")" \
                ${floor_options[@]+"${floor_options[@]}"}
            load "$protocol" "127.0.0.1:$((port + 2))" "$output" --fill ${options[@]+"${options[@]}"}
            echo 0 >"$output.memory"
            ;;
        opentracker)
            start_opentracker
            measure "$name" "127.0.0.1:$((port + 3))" "$server" "$output"
            ;;
        *)
            measure "$name" "$other" "$other_pid" "$output"
            ;;
        esac
        stop_server
        echo "$1 round $2: $name $(cost_us "$name" "$output") us/reply" >&2
    done
}

# What answers requests: threads called worker-N, or the whole process.
cost_us() { # NAME FILE
    case $1 in
    privtrak | floor) worker_us "$2" ;;
    *) process_us "$2" ;;
    esac
}

median() { sort -g | awk '{ v[NR] = $1 } END { print NR == 0 ? 0 : NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
of_all() { # FUNCTION CASE NAME: the median over the rounds
    local round
    for round in $(seq "$rounds"); do "$1" "$work/$2.$3.$round"; done | median
}
costs() { # CASE NAME
    local round
    for round in $(seq "$rounds"); do cost_us "$2" "$work/$1.$2.$round"; done
}
memory() { cat "$1.memory"; }

report_case() { # CASE
    local name cost own
    own=$(costs "$1" privtrak | median)
    printf '\n%s: %s users, %s torrents, %s peers, %s wanted; medians of %s rounds\n' "$1" "$users" "$torrents" "$peers" \
        "$numwant" "$rounds"
    printf '%-12s %24s %11s %10s %12s %9s %9s %8s %8s\n' tracker 'us/reply' 'x privtrak' replies/s peers/reply bytes/peer \
        beside load trouble
    for name in $names; do
        cost=$(costs "$1" "$name" | median)
        printf '%-12s %24s %11s %10.0f %12s %9s %9s %8s %8s\n' "$name" "$(costs "$1" "$name" | summary %.2f)" \
            "$(awk -v a="$cost" -v b="$own" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }')" \
            "$(of_all replies_per_second "$1" "$name")" "$(of_all peers_per_reply "$1" "$name")" \
            "$(of_all memory "$1" "$name")" "$(of_all beside_us "$1" "$name")" "$(of_all own_us "$1" "$name")" \
            "$(of_all trouble "$1" "$name")"
    done
}

names="privtrak floor"
if [ -n "$opentracker" ]; then
    need "$opentracker"
    names="$names opentracker"
fi
[ -z "$other" ] || names="$names $other_name"
make_template
for case in $cases; do
    describe_case "$case"
    for round in $(seq "$rounds"); do
        run_round "$case" "$round"
    done
    report_case "$case" >>"$work/report"
done
cat "$work/report"
