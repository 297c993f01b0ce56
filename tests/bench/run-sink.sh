#!/usr/bin/env bash
# How many deltas a second the database sink takes, into SQLite and into a PostgreSQL that is made for it in a temporary
# folder, with its usual settings (it syncs), and removed again. Environment: BUILD=build  DATABASES="sqlite postgresql"
# TMPDIR: where the databases are. Options are those of bench_sink: run-sink.sh --sessions 200000 --batch 16384
set -euo pipefail
program=$(realpath "${BUILD:-build}/bench/bench_sink")
databases=${DATABASES:-sqlite postgresql}
work=$(mktemp -d "${TMPDIR:-/tmp}/privtrak-bench.XXXXXX")
server=

clean_up() {
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
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

[ -x "$program" ] || fail "$program is missing; make bench-sink builds it"
for database in $databases; do
    echo "$database:"
    case $database in
    sqlite) (cd "$work" && "$program" "$@") ;;
    postgresql)
        start_postgresql
        "$program" --url "postgresql://privtrak@/postgres?host=$work/postgresql" "$@"
        ;;
    *) fail "DATABASES: found $database, allowed sqlite, postgresql" ;;
    esac
done
