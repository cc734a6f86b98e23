#!/bin/sh
# run.sh CHECK BUILD - installs a build into a folder of its own and uses it from there as a stranger would.
#
#   exports     the shared libraries offer and need what they should, and nothing else
#   cmake       main.c and main.cc by find_package(rondo), shared and static; again after the tree has moved
#   pkgconfig   the same by pkg-config; exit status 77, "skipped", where there is no pkg-config
set -eu
here=$(cd "$(dirname "$0")" && pwd)
check=$1
build=$2
name= # of what pkg-config is asked for
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CMAKE:-cmake}" --install "$build" --prefix "$work/first" > "$work/log"
libdir=$(dirname "$(find "$work/first" -name librondo.so.0)")

die() {
  echo "$*"
  exit 1
}

# run PROGRAM [LIBRARY_FOLDER]: a program of C must open the CUDA module when it was installed, or have it linked in.
# The loader of glibc tells which libraries it opens; another's list is empty.
run() {
  rm -f "$work"/loaded*
  LD_DEBUG=files LD_DEBUG_OUTPUT="$work/loaded" LD_LIBRARY_PATH=${2:-} "$1" > "$work/output" ||
    die "$1 failed: $(cat "$work/output")"
  cat "$work/output"
  if [ ! -e "$libdir/librondo_cuda.so.0" ] || ! grep -qs 'init: .*/libm\.so' "$work"/loaded*; then return; fi
  case ${1##*/}-$name in
    c*xx* | *cuda*static*) ;; # main.cc asks for the CPU
    *) grep -q "init: $libdir/librondo_cuda\.so\.0" "$work"/loaded* || die "$1 did not open the module in $libdir" ;;
  esac
}

use_cmake() {
  rm -rf "$work/cmake"
  "${CMAKE:-cmake}" -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$1" > "$work/log" || die "$(cat "$work/log")"
  "${CMAKE:-cmake}" --build "$work/cmake" > "$work/log" 2>&1 || die "$(cat "$work/log")"
  for program in "$work"/cmake/c*_rondo*; do
    case $program in
      *_rondo_static) run "$program" "$libdir" ;; # there is no librondo.so beside which the module could be found
      *) run "$program" ;;
    esac
  done
}

# shellcheck disable=SC2046 # pkg-config prints several words
use_pkgconfig() {
  PKG_CONFIG_PATH=$(dirname "$(find "$1" -name rondo.pc)")
  export PKG_CONFIG_PATH
  for pc in "$PKG_CONFIG_PATH"/*.pc; do
    name=$(basename "$pc" .pc)
    "${CC:-cc}" -std=c11 -Wall -Werror "$here/main.c" -o "$work/c" $(pkg-config --cflags --libs "$name") -lm
    "${CXX:-c++}" -std=c++17 -Wall -Werror "$here/main.cc" -o "$work/cxx" $(pkg-config --cflags --libs "$name")
    for program in "$work/c" "$work/cxx"; do
      echo "$name:"
      run "$program" "$libdir"
    done
  done
}

# twice USE: with the tree where it was installed, then moved.
twice() {
  "use_$1" "$work/first"
  mv "$work/first" "$work/second"
  libdir=$work/second/${libdir#"$work"/first/}
  "use_$1" "$work/second"
}

same() {
  printf '%s\n' "$2" > "$work/expected"
  printf '%s\n' "$3" > "$work/found"
  diff -u "$work/expected" "$work/found" || die "$1: not what was expected"
  echo "$1: as expected"
}

soname() {
  readelf -d "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p'
}

needed() {
  readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

# exported LIBRARY: its dynamic symbols, without their version.
exported() {
  "${NM:-nm}" -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

check_exports() {
  library=$libdir/librondo.so.0
  header=$(find "$work/first" -name rondo.h)
  same 'name of librondo' librondo.so.0 "$(soname "$library")"
  same 'symbols of librondo' "$(sed -nE 's/^RONDO_API .*[ *](rondo_[a-z_]+)\(.*/\1/p' "$header" | sort)" \
    "$(exported "$library")"
  same 'libraries that librondo needs besides those of the C library' '' \
    "$(needed "$library" | grep -vE '^(lib(c|m|dl|pthread)|ld-linux.*)\.so\.')"
  same 'functions that librondo may not call' '' \
    "$("${NM:-nm}" -D -u "$library" | grep -E ' (_?exit|abort|(secure_)?getenv|v?f?printf|puts|perror|system)(@|$)')"
  same 'global names of librondo.a that are not rondo_*' '' \
    "$("${NM:-nm}" -g --defined-only "$libdir/librondo.a" 2> /dev/null | awk 'NF == 3 && $3 !~ /^rondo_/ { print $3 }')"
  if [ -e "$libdir/librondo_cuda.so.0" ]; then
    same 'name of librondo_cuda' librondo_cuda.so.0 "$(soname "$libdir/librondo_cuda.so.0")"
    same 'symbols of librondo_cuda' rondo_cuda_backend "$(exported "$libdir/librondo_cuda.so.0")"
  fi
}

case $check in
  exports) check_exports ;;
  cmake) twice cmake ;;
  pkgconfig)
    if ! command -v pkg-config > /dev/null; then
      echo 'skipped: pkg-config is not there'
      exit 77
    fi
    twice pkgconfig
    ;;
  *) die "run.sh: no check is called '$check'" ;;
esac
