#!/bin/sh
# check_filters.sh RONDO_TESTS FILTERS - every row of the program must be selected by one line of the file FILTERS, and
# each line must select some: so a suite that ctest does not run, or runs by a name that is gone, is found.
set -eu
program=$1 filters=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# rows [FILTER]: Suite.row, a line each.
rows() {
  "$program" --gtest_list_tests --gtest_filter="${1:-*}" | awk '/^[^ ].*\.$/ { suite = $1 } /^  / { print suite $1 }'
}

faults=0
rows | sort > "$work/all"
while read -r filter; do
  rows "$filter" > "$work/some"
  [ -s "$work/some" ] || { echo "no row is called $filter" && faults=1; }
  cat "$work/some" >> "$work/selected"
done < "$filters"
sort -u "$work/selected" | comm -23 "$work/all" - > "$work/missing"
sed 's/^/not in any entry of ctest: /' "$work/missing"
echo "$(wc -l < "$work/all") rows, $(wc -l < "$work/missing") of them in no entry"
[ ! -s "$work/missing" ] && [ -s "$work/all" ] && [ $faults = 0 ]
