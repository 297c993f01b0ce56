#!/usr/bin/env bash
# Runs test programs, a few at once, and adds up what they report.
#   tests/run.sh PROGRAM…
# A program is one of Criterion's, or a script that prints TAP (ok / not ok / # SKIP).
# What a sanitiser finds counts as a failure, whichever process of the test it finds it in, and however that one ends.
# The last line is for people and machines alike: "N passed, N failed, N skipped".
set -u
build=${BUILD:-build}
limit=${TEST_TIMEOUT:-900}
jobs=${TEST_JOBS:-$(($(nproc) + 1))} # they wait more than they work
reports=$build/reports
export BUILD=$build
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=\"$PWD/tests/lsan.supp\":print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=\"$PWD/tests/tsan.supp\":halt_on_error=0:second_deadlock_stack=1:exitcode=66}
mkdir -p "$reports"
findings=$(cd "$reports" && pwd) # of sanitisers: for processes in any directory
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM

count() { # PATTERN FILE
    grep -ciE "$1" "$2" 2>/dev/null
}

# Runs one program, and leaves "passed failed skipped" in its .result.
run_one() {
    local program=$1 name tap log start status took bad left_out good found
    name=$(basename "$program")
    tap=$reports/$name.tap
    log=$reports/$name.log
    rm -f "$tap" "$reports/$name.result" "$reports/$name.found".*
    export ASAN_OPTIONS=$ASAN_OPTIONS:log_path=$findings/$name.found
    export TSAN_OPTIONS=$TSAN_OPTIONS:log_path=$findings/$name.found
    start=$(date +%s)
    case $program in
    *.sh) timeout --kill-after=10 "$limit" "$program" >"$tap" 2>"$log" ;;
    *) timeout --kill-after=10 "$limit" "$program" --timeout "${TEST_SECONDS:-120}" --tap="$tap" >"$log" 2>&1 ;;
    esac
    status=$?
    took=$(($(date +%s) - start))
    bad=$(count '^not ok' "$tap")
    left_out=$(count '^ok .*# *skip' "$tap")
    good=$(($(count '^ok' "$tap") - left_out))
    # A program that ends badly without a test of it having failed counts as one failure, as does one without any test.
    if [ "${bad:-0}" -eq 0 ] && { [ "$status" -ne 0 ] || [ $((good + left_out)) -eq 0 ]; }; then
        bad=1
        echo "$name: ended with status $status" >>"$log"
    fi
    # UndefinedBehaviorSanitizer keeps to stderr.
    found=$(cat "$reports/$name.found".* 2>/dev/null; grep 'runtime error: ' "$log")
    if [ -n "$found" ]; then
        bad=$((${bad:-0} + 1))
        printf '%s\n' "$found" >>"$log"
    fi
    echo "$good ${bad:-0} ${left_out:-0}" >"$reports/$name.result"
    {
        printf '%-32s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$good" "${bad:-0}" "${left_out:-0}" "$took"
        [ "${left_out:-0}" -eq 0 ] || grep -iE '^ok .*# *skip' "$tap" | sed 's/^/    /'
        if [ "${bad:-0}" -ne 0 ]; then
            grep -A 8 '^not ok' "$tap" 2>/dev/null | sed 's/^/    /' | head -n 60
            tail -n 60 "$log" | sed 's/^/    /'
        fi
    } >"$reports/$name.summary"
    cat "$reports/$name.summary"
}

# The scripts take longest: they go first.
programs=()
for program; do [[ $program != *.sh ]] || programs+=("$program"); done
for program; do [[ $program == *.sh ]] || programs+=("$program"); done

for program in "${programs[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    run_one "$program" &
done
wait

passed=0
failed=0
skipped=0
faulty=()
for program in "${programs[@]}"; do
    name=$(basename "$program")
    read -r good bad left_out <"$reports/$name.result" || bad=1 good=0 left_out=0
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + left_out))
    [ "$bad" -eq 0 ] || faulty+=("$name")
done
[ ${#faulty[@]} -eq 0 ] || echo "failed: ${faulty[*]} (output in $reports)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
