# What the benchmark scripts have in common; sourced by them. Each sets `self` to its name before.
#
# The tracker is started with everything on and a state directory of its own, server and generator have a core each.
# Environment, with what is taken where it is not set:
#   BUILD=build  USERS=10000  TORRENTS=100000  PEERS=200000  NUMWANT=30  WORKERS=1
#   SERVER_CPU=0  LOAD_CPU=1  LOAD_THREADS=1  DURATION=5s
# shellcheck shell=bash
build=${BUILD:-build}
duration=${DURATION:-5s}
users=${USERS:-10000}
torrents=${TORRENTS:-100000}
peers=${PEERS:-200000}
numwant=${NUMWANT:-30}
workers=${WORKERS:-1}
server_cpu=${SERVER_CPU:-0}
load_cpu=${LOAD_CPU:-$(($(nproc) > 1 ? 1 : 0))}
load_threads=${LOAD_THREADS:-1}
bench=$build/privtrak-bench
work=$(mktemp -d "${TMPDIR:-/tmp}/privtrak-bench.XXXXXX")
server=

fail() {
    echo "$self: $*" >&2
    exit 1
}

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

need() { # PROGRAM...
    local program
    for program; do
        command -v "$program" >/dev/null || fail "$program is missing; make deps-dev installs it"
    done
}

# Five ports that nobody listens at: of the tracker, HTTP and HTTPS, and of what it is compared with.
choose_port() {
    local try next
    for try in $(seq 50); do
        port=$((20000 + RANDOM % 12000))
        for next in 0 1 2 3 4; do
            { : </dev/tcp/127.0.0.1/$((port + next)); } 2>/dev/null && continue 2
        done
        return 0
    done
    fail "found no free ports ($try tries)"
}

# Certificates for the loopback address, as an operator makes them.
make_certificates() {
    need openssl
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -keyout "$work/ecdsa.key" -out "$work/ecdsa.pem" 2>/dev/null || fail "openssl made no ECDSA certificate"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
        -keyout "$work/rsa.key" -out "$work/rsa.pem" 2>/dev/null || fail "openssl made no RSA certificate"
    use_certificate ecdsa
}

use_certificate() { # ecdsa|rsa
    cp "$work/$1.pem" "$work/tls.pem"
    cp "$work/$1.key" "$work/tls.key"
}

write_config() { # MORE_YAML
    cat >"$work/tracker.yaml" <<YAML
tracker: {workers: $workers, state_dir: state, min_announce_interval: 0s}
http:
  listen: ["127.0.0.1:$port"]
  tls: {listen: ["127.0.0.1:$((port + 1))"], certificate: $work/tls.pem, key: $work/tls.key}
udp: {listen: ["127.0.0.1:$port"]}
middleware:
  limits: {new_torrents_per_user: 1000000/d}
admin: {listen: []}
$1
YAML
}

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

# A state directory with the schema and the generator's users, to be copied for each start.
make_template() {
    need sqlite3
    [ -x "$bench" ] && [ -x "$build/privtrakd" ] || fail "$build/privtrak-bench or $build/privtrakd is missing; make builds them"
    make_certificates
    choose_port
    write_config "${1:-}"
    start_tracker
    stop_server
    "$bench" users --users "$users" | sed "s/.*/INSERT INTO users (passkey) VALUES ('&');/" |
        { echo 'BEGIN;'; cat; echo 'COMMIT;'; } | sqlite3 "$work/state/privtrak.db"
    mv "$work/state" "$work/template"
}

# The tracker as it was made by make_template.
start_fresh_tracker() {
    rm -rf "$work/state"
    cp -r "$work/template" "$work/state"
    start_tracker
}

start_floor() { # udp|http|https PORT BYTES [OPTION]...
    local protocol=$1 at=$2 bytes=$3
    shift 3
    [ "$protocol" = https ] && set -- "$@" --certificate "$work/tls.pem" --key "$work/tls.key"
    "$bench" floor "$protocol" --listen "127.0.0.1:$at" --cpu "$server_cpu" --threads "$workers" --reply-bytes "$bytes" \
        "$@" >"$work/floor.log" 2>&1 &
    server=$!
    sleep 0.3
    kill -0 "$server" 2>/dev/null || fail "the floor did not start: $(cat "$work/floor.log")"
}

load() { # PROTOCOL HOST:PORT OUTPUT [OPTION]...
    local protocol=$1 target=$2 output=$3
    shift 3
    local pid=${watched:-$server}
    if [ -n "$pid" ]; then
        set -- "$@" --pid "$pid"
    fi
    "$bench" "$protocol" --target "$target" --cpu "$load_cpu" --threads "$load_threads" --users "$users" \
        --torrents "$torrents" --peers "$peers" --numwant "$numwant" --duration "$duration" --quiet "$@" \
        >"$output" || fail "the generator failed: $(cat "$output")"
}

# Reads what a generator printed.
worker_us() { awk '$1 == "target" && $3 == "worker" { print $(NF - 1) }' "$1"; }
beside_us() { awk '$1 == "target" && $3 ~ /^(ledger|journal-sync|sink-)/ { sum += $(NF - 1) } END { print sum + 0 }' "$1"; }
process_us() { awk '$1 == "target" { sum += $(NF - 1) } END { print sum + 0 }' "$1"; }
own_us() { awk '$1 == "own" { print $3 }' "$1"; }
replies_per_second() { awk '$1 == "replies" { sub("/s", "", $6); print $6 }' "$1"; }
peers_per_reply() { awk '$1 == "replies" { print $7 }' "$1"; }
reply_bytes() { awk '$1 == "replies" { print int($9 + 0.5) }' "$1"; }
trouble() { awk '$1 == "failures" { f = $2 } $1 == "losses" { l = $5 } END { print f + l }' "$1"; }
quantile() { awk -v name="$1" '$1 == "latency" { for (i = 3; i < NF; i++) if ($i == name) print $(i + 1) }' "$2"; }
lateness() { awk -v name="$1" '$1 == "sent" { for (i = 4; i < NF; i++) if ($i == name) print $(i + 1) }' "$2"; }

# A number of the tracker's own account, by its name.
stat_of() { # NAME
    "$build/privtrakctl" -c "$work/tracker.yaml" --json stats | tr -d ' \n' | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

each() { # FUNCTION FILES...
    local function=$1 file
    shift
    for file; do "$function" "$file"; done
}

# "median (least - most)" of the numbers on stdin.
summary() {
    sort -g | awk -v format="$1" '{ v[NR] = $1 }
        END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
              printf format " (" format " - " format ")", m, v[1], v[NR] }'
}

# How a case is loaded, and what the floor does for it: sets protocol, at (a port), options, floor_options.
describe_case() {
    local case=$1
    protocol=http at=$port options=() floor_options=()
    case $case in
    udp)
        protocol=udp
        # Several workers get their datagrams by info hash, which the kernel looks at before it cuts segments apart.
        [ "$workers" -gt 1 ] || options=(--segments)
        ;;
    http-keepalive) options=(--keepalive) ;;
    http-pipelined) options=(--keepalive --pipeline "${PIPELINE:-8}") ;;
    http-close) floor_options=(--close) ;;
    https-keepalive) options=(--tls --keepalive) ;;
    https-resumed) options=(--tls --resume) floor_options=(--close) ;;
    https-new | https-new-rsa) options=(--tls) floor_options=(--close) ;;
    *) fail "found $case, allowed udp, http-keepalive, http-pipelined, http-close, https-keepalive, https-resumed," \
        "https-new, https-new-rsa" ;;
    esac
    floor_protocol=$protocol
    case $case in https-*) floor_protocol=https at=$((port + 1)) ;; esac
    case $case in *-rsa) use_certificate rsa ;; *) use_certificate ecdsa ;; esac
}
