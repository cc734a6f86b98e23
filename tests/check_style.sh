#!/bin/sh
# check_style.sh - the conventions that a machine can check (CONTRIBUTING.md has them all).
#
#   check_style.sh text      no tabs, trailing blanks or lines over 120 columns (.md: but tables and output)
#   check_style.sh sizes     files of src/ under 400 lines, functions within 60 (CUDA kernels within 100)
#   check_style.sh calls     the library does not print, exit, abort or read the environment
#   check_style.sh includes  who may include whom
#   check_style.sh headers   each header compiles alone, the public one in every language it is meant for
#   check_style.sh format    clang-format changes nothing; exit status 77, "skipped", where there is no clang-format 14
#   check_style.sh --format  formats instead of checking
#
# tests/simt is a tool of its own with a style of its own: it is left out.
# shellcheck disable=SC2046,SC2086 # lists of files and flags are split into words on purpose
set -eu
cd "$(dirname "$0")/.."
failures=0

# Prints its input, one fault a line, and counts it.
report() {
  while read -r line; do
    echo "$line"
    failures=$((failures + 1))
  done
}

c_files() {
  find "$@" -path tests/simt -prune -o -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \
    -o -name '*.inc' \) -print | sort
}

check_text() {
  find . \( -path ./build -o -path ./.git -o -path ./tests/simt \) -prune -o -type f \( \
    -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' -o -name '*.def' -o -name '*.sh' \
    -o -name '*.py' -o -name '*.cmake' -o -name '*.in' -o -name '*.map' -o -name '*.md' -o -name '*.json' -o -name go \
    -o -name run -o -name CMakeLists.txt \) -print | sort > "$work/files"
  while read -r file; do
    awk -v file="${file#./}" '
      /\t/ { print file ":" NR ": tab" }
      /[ \r]$/ { print file ":" NR ": trailing blank" }
      { gsub(/[\200-\277]/, "") } # so that a character of UTF-8 counts as one
      length > 120 && !(file ~ /\.md$/ && /^(\||    )/) { print file ":" NR ": " length " columns" }' "$file"
    [ -z "$(tail -c 1 "$file")" ] || echo "${file#./}: no newline at the end"
  done < "$work/files"
}

check_sizes() {
  for file in $(c_files src); do
    lines=$(wc -l < "$file")
    [ "$lines" -le 400 ] || echo "$file: $lines lines, over 400"
  done
  for file in $(c_files src tests bench examples); do
    limit=60
    case $file in *.cu | *.cuh) limit=100 ;; esac
    # Formatted code: a function begins at column 1, its body opens at the end of a line and closes at column 1.
    awk -v file="$file" -v limit=$limit '
      inside && /^}/ {
        lines = NR - start + 1
        if (is_function && lines > limit) print file ":" start ": function of " lines " lines, over " limit
        inside = 0
      }
      inside { next }
      /^[A-Za-z_]/ { start = NR; is_function = 0 }
      /\(/ && !/=/ { is_function = 1 }
      /\{$/ { inside = 1 }' "$file"
  done
}

check_calls() {
  words='getenv|secure_getenv|setenv|printf|vprintf|fprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|abort|system'
  grep -nE "(^|[^[:alnum:]_])($words)\\(" $(c_files src) | sed 's/$/  <- the library does not do that/' || true
}

# allowed PATH: which headers a file may include besides those of its own folder: "quoted <system>", as two patterns.
# The first line that fits counts. Tests may see everything and are not asked.
allowed() {
  standard='(std[a-z]*|assert|ctype|errno|float|limits|math|signal|string|time)\.h'
  standard="$standard|(dlfcn|getopt|pthread|sched|unistd|sys/[a-z]*)\.h"
  cuda='(cuda|cublas|curand|cooperative_groups)[a-zA-Z0-9_/]*(\.h)?|math_constants\.h|mma\.h|cub/.*|type_traits|utility'
  host='(internal|error|arena|params|canonical|schedule|optimise|half|int8)\.h|rondo/rondo\.h'
  case $1 in
    include/*) echo "- std(int|def|bool)\.h" ;;
    src/host/internal.h | src/kernels/kernels.h)
      echo "rondo/rondo\.h|(arena|schedule)\.h|kernels[a-z_]*\.(h|inc) std[a-z]*\.h"
      ;;
    src/kernels/*) echo "rondo/rondo\.h $standard|$cuda" ;;
    src/host/cuda/*) echo "$host|cuda/[a-z_]*\.h|kernels/kernels\.(h|inc) $standard|$cuda" ;;
    src/host/cpu/*) echo "$host|cpu/[a-z_]*\.h $standard|(imm|x86)intrin\.h|cpuid\.h" ;;
    src/host/reference*) echo "(internal|error|reference|philox)\.h|rondo/rondo\.h $standard" ;;
    src/host/*) echo "rondo/rondo\.h $standard" ;;
    examples/*) echo "- rondo/rondo\.h|$standard" ;;
    bench/*)
      quotes='rondo/rondo\.h|(tests/)?(problem|tensors|compare)\.h|shapes\.inc'
      echo "$quotes rondo/rondo\.h|$standard|(fcntl|immintrin)\.h"
      ;;
  esac
}

check_includes() {
  for file in $(c_files include src bench examples); do
    allowed "$file" > "$work/allowed"
    read -r quoted system < "$work/allowed"
    sed -nE 's/^ *# *include *("[^"]*"|<[^>]*>).*/\1/p' "$file" > "$work/included"
    while read -r name; do
      case $name in
        \"*)
          name=${name#\"} name=${name%\"} name=${name##*../}
          case $file in
            src/host/internal.h | src/kernels/kernels.h | src/host/reference*) own= ;;
            *) own=${name##*/*} ;;
          esac
          if [ -n "$own" ] && [ -e "${file%/*}/$own" ]; then continue; fi
          echo "$name" | grep -qxE -e "$quoted" || echo "$file: must not include \"$name\""
          ;;
        *)
          name=${name#<} name=${name%>}
          echo "$name" | grep -qxE -e "$system" || echo "$file: must not include <$name>"
          ;;
      esac
    done < "$work/included"
  done
}

# compiles WHAT COMMAND...: the compiler's first complaint, if any.
compiles() {
  what=$1
  shift
  "$@" > "$work/out" 2>&1 || echo "$what: $(grep -m 1 error "$work/out")"
}

check_headers() {
  warnings='-Wall -Wextra -Wpedantic -Werror -fsyntax-only'
  absent=
  for compiler in gcc clang; do
    command -v $compiler > /dev/null || { absent="$absent $compiler" && continue; }
    for standard in c11 c17; do
      compiles "rondo.h as $standard by $compiler" $compiler -x c -std=$standard $warnings include/rondo/rondo.h
    done
    compiles "rondo.h as C++17 by $compiler" $compiler -x c++ -std=c++17 $warnings include/rondo/rondo.h
  done
  cuda=
  if command -v nvcc > /dev/null; then
    echo '#include "rondo/rondo.h"' > "$work/header.cu"
    cuda=$(nvcc -dryrun -c "$work/header.cu" 2>&1 | sed -n 's/^#\$ TOP=//p')/include
    compiles 'rondo.h by nvcc' nvcc -I include -Werror all-warnings -c -o "$work/header.o" "$work/header.cu"
  else
    absent="$absent nvcc"
  fi
  [ -z "$absent" ] || echo "headers: not there, so not asked:$absent" > "$work/note"
  # Left out: what is included by a kernels_<isa>.c and wants its macros.
  for file in $(c_files src | grep '\.h$' | grep -v -e cpu/kernels_ -e cpu/vec.h); do
    case $file in src/host/cuda/*) [ -n "$cuda" ] || continue ;; esac
    echo "#include \"$file\"" > "$work/header.c"
    compiles "$file alone" "${CC:-cc}" -std=gnu11 $warnings -I . -I include -I src -I src/host \
      ${cuda:+-isystem "$cuda"} "$work/header.c"
  done
}

formatter() {
  for name in clang-format-14 clang-format; do
    if command -v $name > /dev/null && $name --version | grep -q 'version 14\.'; then
      echo $name
      return
    fi
  done
}

formatted_files() {
  c_files include src tests bench examples | grep -v '\.inc$'
}

check_format() {
  $(formatter) --dry-run $(formatted_files) 2>&1 |
    sed -nE 's/^([^:]*:[0-9]*):.*code should be clang-formatted.*/\1: clang-format has it differently (.\/go fmt)/p' |
    uniq
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1:-} in
  format | --format)
    if [ -z "$(formatter)" ]; then
      echo 'skipped: clang-format 14 is not there'
      exit 77
    fi
    ;;
esac
case ${1:-} in
  --format) $(formatter) -i $(formatted_files) ;;
  text | sizes | calls | includes | headers | format)
    "check_$1" > "$work/faults"
    [ ! -e "$work/note" ] || cat "$work/note"
    report < "$work/faults"
    echo "$1: $failures faults"
    ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
[ "$failures" = 0 ]
