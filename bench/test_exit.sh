#!/bin/sh
# Runs a command and checks how it ended and what it said, on stdout and stderr together.
#   test_exit.sh STATUS PATTERN COMMAND...        PATTERN: an extended regular expression that some line must match
status=$1 pattern=$2
shift 2
said=$("$@" 2>&1)
got=$?
printf '%s\n' "$said"
if [ "$got" -ne "$status" ]; then
  echo "FAILED: exit status $got, not $status"
  exit 1
fi
if ! printf '%s\n' "$said" | grep -Eq -e "$pattern"; then
  echo "FAILED: no line matches $pattern"
  exit 1
fi
