#!/usr/bin/env bash
# How many deltas a second the database sink takes, into SQLite, and into a PostgreSQL and a MariaDB that are made for it in a
# temporary folder, with their usual settings (they sync), and removed again.
# Environment: BUILD=build  DATABASES="sqlite postgresql mariadb"
# TMPDIR: where the databases are. Options are those of bench_sink: run-sink.sh --sessions 200000 --batch 16384
set -euo pipefail
program=$(realpath "${BUILD:-build}/bench/bench_sink")
databases=${DATABASES:-sqlite postgresql mariadb}
work=$(mktemp -d "${TMPDIR:-/tmp}/privtrak-bench.XXXXXX")
server=
stop_signal=TERM

stop_server() {
    if [ -n "$server" ]; then
        kill "-$stop_signal" "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    server=
}

clean_up() {
    stop_server
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

fail() {
    echo "run-sink: $*" >&2
    exit 1
}

# PostgreSQL does not run as root.
as_owner() {
    if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; else "$@"; fi
}

start_postgresql() {
    local programs
    programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
    [ -n "$programs" ] || fail "PostgreSQL is not installed; make deps-test installs it"
    mkdir "$work/postgresql"
    [ "$(id -u)" != 0 ] || { chmod 711 "$work" && chown postgres: "$work/postgresql"; }
    (cd "$work/postgresql" && as_owner "$programs/initdb" -D data -A trust -U privtrak -E UTF8 --locale=C) >"$work/log" 2>&1 ||
        fail "initdb: $(cat "$work/log")"
    if [ "$(id -u)" = 0 ]; then
        (cd "$work/postgresql" && exec setpriv --reuid=postgres --regid=postgres --clear-groups "$programs/postgres" -D data \
            -k "$work/postgresql" -c listen_addresses=) >"$work/log" 2>&1 &
    else
        (cd "$work/postgresql" && exec "$programs/postgres" -D data -k "$work/postgresql" -c listen_addresses=) >"$work/log" 2>&1 &
    fi
    server=$!
    for _ in $(seq 100); do
        "$programs/pg_isready" -q -h "$work/postgresql" && return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    fail "PostgreSQL did not start: $(cat "$work/log")"
}

start_mariadb() {
    local user=$(id -un) folder=$work/mariadb
    command -v mariadbd >/dev/null || fail "MariaDB is not installed; make deps-test installs it"
    mkdir "$folder"
    [ "$(id -u)" != 0 ] || { user=mysql && chmod 711 "$work" && chown mysql: "$folder"; }
    mariadb-install-db --no-defaults --user="$user" --datadir="$folder/data" --auth-root-authentication-method=normal \
        --skip-test-db --skip-name-resolve >"$work/log" 2>&1 || fail "mariadb-install-db: $(cat "$work/log")"
    mariadbd --no-defaults --user="$user" --datadir="$folder/data" --socket="$folder/socket" --skip-networking \
        --skip-name-resolve --pid-file="$folder/pid" >"$work/log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
        mariadb --no-defaults --socket="$folder/socket" --user=root -e 'CREATE DATABASE privtrak' 2>/dev/null && return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    fail "MariaDB did not start: $(cat "$work/log")"
}

[ -x "$program" ] || fail "$program is missing; make bench-sink builds it"
for database in $databases; do
    echo "$database:"
    case $database in
    sqlite) (cd "$work" && "$program" "$@") ;;
    postgresql)
        stop_signal=INT
        start_postgresql
        "$program" --url "postgresql://privtrak@/postgres?host=$work/postgresql" "$@"
        stop_server
        ;;
    mariadb)
        stop_signal=TERM
        start_mariadb
        "$program" --url "mariadb://root@/privtrak?socket=$work/mariadb/socket" "$@"
        stop_server
        ;;
    *) fail "DATABASES: found $database, allowed sqlite, postgresql, mariadb" ;;
    esac
done
