#!/bin/sh
# Writes C source to stdout: every function that the real library exports and the objects do not define becomes one that
# says so once and fails.
# stubs.sh NM STATUS EXPORTS OBJECT...     STATUS: what such a function returns; EXPORTS: sorted names, one a line
set -e
nm=$1 status=$2 exports=$3
shift 3
LC_ALL=C
export LC_ALL
"$nm" -g --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u | comm -13 - "$exports" | awk -v status="$status" '
  BEGIN {
    print "#include <stdio.h>\nstatic int unsupported(const char *name, int *said) {"
    print "  if (!(*said)++) fprintf(stderr, \"simt: %s is not supported: returning an error\\n\", name);"
    print "  return " status ";\n}"
  }
  { printf "int %s(void) { static int said; return unsupported(\"%s\", &said); }\n", $1, $1 }'
