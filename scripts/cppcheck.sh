#!/bin/sh
# cppcheck over the given sources. What is suppressed is what gcc and clang already warn of, or a matter of taste;
# and in users.c a version that is found again by the struct user within it.
set -eu
exec cppcheck --quiet --std=c11 --language=c -j "$(nproc)" --inline-suppr --error-exitcode=1 \
    --enable=warning,performance,portability -Isrc -D_GNU_SOURCE -D__linux__ \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unknownMacro \
    --suppress='*:tests/*' --suppress=memleak:src/storage/users.c "$@"
