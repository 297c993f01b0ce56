#!/usr/bin/env bash
# Runs the bare responder and the tracker in turn under the same load, several times, and prints how near the
# tracker comes to the floor: CPU time a reply of the floor's thread / of the tracker's worker, medians with spread.
#
# The tracker is started anew for each round, with one worker, everything on, and a state directory of its own; the
# floor answers with as many bytes as the tracker did. Server and generator have a core each. Environment:
#   ROUNDS=5  DURATION=5s  USERS=10000  TORRENTS=100000  PEERS=200000  NUMWANT=30
#   CASES="udp http-keepalive http-close"  SERVER_CPU=0  LOAD_CPU=1
set -euo pipefail
build=${BUILD:-build}
rounds=${ROUNDS:-5}
duration=${DURATION:-5s}
users=${USERS:-10000}
torrents=${TORRENTS:-100000}
peers=${PEERS:-200000}
numwant=${NUMWANT:-30}
cases=${CASES:-udp http-keepalive http-close}
server_cpu=${SERVER_CPU:-0}
load_cpu=${LOAD_CPU:-$(($(nproc) > 1 ? 1 : 0))}
bench=$build/privtrak-bench
work=$(mktemp -d)
server=

stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
clean_up() {
    stop_server
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

fail() {
    echo "run-bench: $*" >&2
    exit 1
}

command -v sqlite3 >/dev/null || fail "sqlite3 is missing; make deps-dev installs it"
[ -x "$bench" ] && [ -x "$build/privtrakd" ] || fail "$build/privtrak-bench or $build/privtrakd is missing; make builds them"

# A port that nobody listens at, nor at the next one, which the floor gets.
port=0
for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000))
    { : </dev/tcp/127.0.0.1/$port || : </dev/tcp/127.0.0.1/$((port + 1)); } 2>/dev/null || break
done

cat >"$work/tracker.yaml" <<YAML
tracker: {workers: 1, state_dir: state, min_announce_interval: 0s}
http: {listen: ["127.0.0.1:$port"]}
udp: {listen: ["127.0.0.1:$port"]}
middleware:
  limits: {new_torrents_per_user: 1000000/d}
admin: {listen: []}
YAML

start_tracker() {
    taskset -c "$server_cpu" "$build/privtrakd" -c "$work/tracker.yaml" 2>"$work/tracker.log" &
    server=$!
    for _ in $(seq 100); do
        grep -q ready "$work/tracker.log" && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/tracker.log" >&2
    fail "the tracker did not start"
}

# A state directory with the schema and the generator's users, to be copied for each round.
make_template() {
    start_tracker
    stop_server
    "$bench" users --users "$users" | sed "s/.*/INSERT INTO users (passkey) VALUES ('&');/" |
        { echo 'BEGIN;'; cat; echo 'COMMIT;'; } | sqlite3 "$work/state/privtrak.db"
    mv "$work/state" "$work/template"
}

start_floor() { # udp|http BYTES [--close]
    local protocol=$1 bytes=$2
    shift 2
    "$bench" floor "$protocol" --listen "127.0.0.1:$((port + 1))" --cpu "$server_cpu" --reply-bytes "$bytes" "$@" \
        >"$work/floor.log" 2>&1 &
    server=$!
    sleep 0.3
    kill -0 "$server" 2>/dev/null || fail "the floor did not start: $(cat "$work/floor.log")"
}

load() { # PROTOCOL PORT OUTPUT [OPTION]...
    local protocol=$1 target=$2 output=$3
    shift 3
    "$bench" "$protocol" --target "127.0.0.1:$target" --pid "$server" --cpu "$load_cpu" --users "$users" \
        --torrents "$torrents" --peers "$peers" --numwant "$numwant" --duration "$duration" --fill --quiet "$@" \
        >"$output" || fail "the generator failed: $(cat "$output")"
}

# Reads what a generator printed.
worker_us() { awk '$1 == "target" && $3 == "worker" { print $(NF - 1) }' "$1"; }
beside_us() { awk '$1 == "target" && $3 ~ /^(ledger|journal-sync|sink-)/ { sum += $(NF - 1) } END { print sum + 0 }' "$1"; }
own_us() { awk '$1 == "own" { print $3 }' "$1"; }
replies_per_second() { awk '$1 == "replies" { sub("/s", "", $6); print $6 }' "$1"; }
peers_per_reply() { awk '$1 == "replies" { print $7 }' "$1"; }
reply_bytes() { awk '$1 == "replies" { print int($9 + 0.5) }' "$1"; }
trouble() { awk '$1 == "failures" { f = $2 } $1 == "losses" { l = $5 } END { print f + l }' "$1"; }

# "median (least - most)" of the numbers on stdin.
summary() {
    sort -g | awk -v format="$1" '{ v[NR] = $1 }
        END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
              printf format " (" format " - " format ")", m, v[1], v[NR] }'
}

run_case() {
    local case=$1 protocol=${1%%-*} options=() floor_options=() round tracker=$work/$1.tracker floor=$work/$1.floor
    [ "$case" = http-keepalive ] && options=(--keepalive)
    [ "$case" = http-close ] && floor_options=(--close)
    for round in $(seq "$rounds"); do
        rm -rf "$work/state"
        cp -r "$work/template" "$work/state"
        start_tracker
        load "$protocol" "$port" "$tracker.$round" ${options[@]+"${options[@]}"}
        stop_server
        start_floor "$protocol" "$(reply_bytes "$tracker.$round")" ${floor_options[@]+"${floor_options[@]}"}
        load "$protocol" "$((port + 1))" "$floor.$round" ${options[@]+"${options[@]}"}
        stop_server
        echo "$(worker_us "$floor.$round") $(worker_us "$tracker.$round")" >>"$work/$case.us"
        printf '%-15s round %d: floor %s us/reply, tracker %s us/reply\n' "$case" "$round" \
            "$(worker_us "$floor.$round")" "$(worker_us "$tracker.$round")"
    done
    report_case "$case" "$tracker" "$floor"
}

each() { # FUNCTION FILES...
    local function=$1 file
    shift
    for file; do "$function" "$file"; done
}

report_case() {
    local case=$1 tracker=$2 floor=$3
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
    case $case in
    udp | http-keepalive | http-close) run_case "$case" ;;
    *) fail "CASES: found $case, allowed udp, http-keepalive, http-close" ;;
    esac
done
echo
cat "$work/report"
