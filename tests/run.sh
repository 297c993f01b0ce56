#!/usr/bin/env bash
# Runs test programs one after another and adds up what they report.
#   tests/run.sh PROGRAM…
# A program is one of Criterion's, or a script that prints TAP (ok / not ok / # SKIP).
# The last line is for people and machines alike: "N passed, N failed, N skipped".
set -u
build=${BUILD:-build}
limit=${TEST_TIMEOUT:-600}
reports=$build/reports
export BUILD=$build
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=\"$PWD/tests/lsan.supp\":print_suppressions=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=0:second_deadlock_stack=1:exitcode=66}
mkdir -p "$reports"

passed=0
failed=0
skipped=0
faulty=()

for program; do
    name=$(basename "$program")
    tap=$reports/$name.tap
    log=$reports/$name.log
    start=$(date +%s)
    case $program in
    *.sh) timeout --kill-after=10 "$limit" "$program" >"$tap" 2>"$log" ;;
    *) timeout --kill-after=10 "$limit" "$program" --timeout 120 --tap="$tap" >"$log" 2>&1 ;;
    esac
    status=$?
    took=$(($(date +%s) - start))
    bad=$(grep -c '^not ok' "$tap" 2>/dev/null)
    left_out=$(grep -ciE '^ok .*# *skip' "$tap" 2>/dev/null)
    good=$(($(grep -c '^ok' "$tap" 2>/dev/null) - left_out))
    # A program that ends badly without a test of it having failed counts as one failure.
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
        echo "$name: ended with status $status" >>"$log"
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + left_out))
    printf '%-32s %4d passed %3d failed %3d skipped %4d s\n' "$name" "$good" "$bad" "$left_out" "$took"
    [ "$left_out" -eq 0 ] || grep -iE '^ok .*# *skip' "$tap" | sed 's/^/    /'
    if [ "$bad" -ne 0 ]; then
        faulty+=("$name")
        grep -A 8 '^not ok' "$tap" 2>/dev/null | sed 's/^/    /' | head -n 60
        tail -n 60 "$log" | sed 's/^/    /'
    fi
done

[ ${#faulty[@]} -eq 0 ] || echo "failed: ${faulty[*]} (output in $reports)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
