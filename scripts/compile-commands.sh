#!/bin/sh
# Prints compile_commands.json: scripts/compile-commands.sh 'COMPILER FLAGS…' SOURCE…
set -eu
command=$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')
directory=$(pwd | sed 's/[\\"]/\\&/g')
shift
separator='['
for source; do
    printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' \
        "$separator" "$directory" "$source" "$command" "$source"
    separator=','
done
printf '\n]\n'
