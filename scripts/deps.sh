#!/bin/sh
# Installs the Debian packages that are missing, and nothing where none is.
#   scripts/deps.sh run [test] [dev]
# run: to build and start the tracker; test: for `make test`; dev: lint, fuzzing, coverage, benchmarks.
set -eu

run='gcc libc6-dev make pkg-config libevent-dev libjansson-dev libbsd-dev libyaml-dev libxxhash-dev libsodium-dev
     liburcu-dev libsqlite3-dev libpq-dev libmariadb-dev libcurl4-openssl-dev libssl-dev'
test='libcriterion-dev aria2 transmission-daemon transmission-cli python3 python3-libtorrent iproute2 openssl sqlite3 postgresql
      mariadb-server'
dev='git clang clang-format clang-tidy cppcheck gcovr opentracker strace'

[ $# -gt 0 ] || set -- run
wanted=''
for group; do
    case $group in
    run) wanted="$wanted $run" ;;
    test) wanted="$wanted $test" ;;
    dev) wanted="$wanted $dev" ;;
    *) echo "usage: $0 [run] [test] [dev]" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: this is no Debian; what is needed there:" $wanted >&2
    exit 0
fi

missing=''
for package in $wanted; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
    installed) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=''
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: as root, run: apt-get update && apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root=sudo
fi

# The tests start what they need themselves: no service is to come up because its package does.
# A policy that the machine already has stays as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap '$as_root rm -f $policy' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
fi

echo "deps: installing$missing"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
$apt update
$apt install -y --no-install-recommends $missing
