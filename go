#!/bin/sh
# go - builds, tests and measures Rondo; "./go help" lists what it can do.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/local/cuda/bin # where nvcc is when nobody has put it on the PATH
preset=${PRESET:-release}
build=build
[ "$preset" = release ] || build=build/$preset

usage() {
  cat << 'TEXT'
usage: ./go COMMAND [ARGUMENT...]

  bench [ARGUMENT...]  build, then run bench_lstm (./go bench --help lists its arguments)
                       (./go bench --backend cpu --plot limits.svg: as a picture, by gnuplot)
  test [ARGUMENT...]   build, then run the tests with ctest (for example ./go test -R golden)
  build                only build
  install [PREFIX]     build, then install (default /usr/local)
  docs                 make the manual page out of the header, and show it on a terminal
  fmt                  format the sources with clang-format
  clean                remove everything that was built
  help                 this text

Packages that are missing are installed with apt-get where that works without a question; elsewhere ./go names them.
PRESET=NAME ./go COMMAND takes another preset of CMakePresets.json, built in build/NAME:
debug, asan, tsan, cpu-only, clang.
TEXT
}

# Messages go to stderr, so that "./go bench --json -" leaves JSON alone on stdout.
say() {
  printf 'go: %s\n' "$*" >&2
}

# timed WHAT COMMAND...: says what it does, and how long it took or that it failed.
timed() {
  what=$1 start=$(date +%s)
  shift
  say "$what"
  status=0
  "$@" || status=$?
  seconds=$(($(date +%s) - start))
  if [ $status = 0 ]; then say "done in $seconds s"; else say "failed after $seconds s: $what"; fi
  return $status
}

have() {
  command -v "$1" > /dev/null 2>&1
}

# need PACKAGE CONDITION...: notes a Debian package when the condition does not hold.
need() {
  package=$1
  shift
  "$@" || missing="$missing $package"
}

has_header() {
  echo "#include <$1>" | "${CXX:-c++}" -E -x c++ - > /dev/null 2>&1
}

find_missing() {
  missing=
  need gcc have "${CC:-cc}"
  need g++ have "${CXX:-c++}"
  need cmake have cmake
  have make || need ninja-build have ninja
  need pkg-config have pkg-config
  need libgtest-dev has_header gtest/gtest.h
  if have nvcc && [ "$preset" != cpu-only ]; then # simt, which runs the CUDA tests where there is no GPU
    need libzstd-dev has_header zstd.h
    need liblz4-dev has_header lz4.h
  fi
  if [ "$preset" = clang ]; then need clang have clang; fi
}

# Installs what the variable missing names; fails where that needs a person.
install_missing() {
  [ -n "$missing" ] || return 0
  root=
  [ "$(id -u)" = 0 ] || root='sudo -n'
  if ! have apt-get || ! ${root:-true} true 2> /dev/null; then
    say 'these packages are missing (Debian names). Install them as root, or with sudo, then try again:'
    say "  apt-get update && apt-get install -y --no-install-recommends$missing"
    exit 2
  fi
  timed "installing$missing" apt_install
}

# shellcheck disable=SC2086 # words on purpose: root, missing
apt_install() {
  apt="$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y"
  if apt-cache show $missing > /dev/null 2>&1 && $apt install --no-install-recommends $missing >&2; then return; fi
  $apt update >&2 && $apt install --no-install-recommends $missing >&2
}

# Configuring an unchanged tree takes a second and rebuilds nothing; it notices an nvcc that has come or gone.
do_build() {
  find_missing
  install_missing
  if have ninja && [ ! -e "$build/CMakeCache.txt" ]; then export CMAKE_GENERATOR=Ninja; fi
  timed "configuring in $build" cmake --preset "$preset" >&2
  timed "building in $build" cmake --build "$build" --parallel "$(nproc)" ${1:+--target "$1"} >&2
}

# What the CUDA tests run on; tests/run_cuda.sh asks the same questions.
cuda_tests() {
  if ! [ -e "$build/librondo_cuda.so.0" ]; then
    echo 'nothing, this build has no CUDA backend'
  elif nvidia-smi -L > /dev/null 2>&1; then
    nvidia-smi -L | sed -n '1s/ (UUID.*//p'
  elif [ -x "$build/simt/simt" ]; then
    echo 'simt, there is no GPU'
  else
    echo 'nothing, there is neither a GPU nor simt'
  fi
}

# do_install PREFIX: the loader knows the libraries of /usr/local and /usr once its cache is new.
do_install() {
  timed "installing into $1" cmake --install "$build" --prefix "$1" >&2
  case $1 in
    /usr | /usr/ | /usr/local | /usr/local/)
      if [ "$(id -u)" = 0 ] && have ldconfig; then ldconfig && return; fi
      ;;
  esac
  library=$(sed -n '/\/librondo\.so\.0$/{p;q;}' "$build/install_manifest.txt")
  say "programs must find librondo.so.0 in ${library%/*}: run ldconfig as root where that is a folder of the loader's,"
  say 'or link with -Wl,-rpath, or set LD_LIBRARY_PATH'
}

do_docs() {
  do_build docs
  say "the manual page is $build/rondo.3"
  if [ -t 1 ] && have man; then man -l "$build/rondo.3"; fi
}

do_fmt() {
  missing=
  need clang-format have clang-format
  install_missing
  timed 'formatting' sh tests/check_style.sh --format
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
  build) do_build ;;
  bench)
    do_build
    timed 'running bench_lstm' "$build/bench_lstm" "$@"
    ;;
  test)
    do_build
    say "running the tests; those of CUDA on: $(cuda_tests)"
    ctest --preset "$preset" --no-tests=error --parallel "$(nproc)" "$@"
    ;;
  install)
    do_build
    do_install "${1:-/usr/local}"
    ;;
  docs) do_docs ;;
  fmt) do_fmt ;;
  clean) rm -rf build ;;
  help | -h | --help) usage ;;
  *)
    say "there is no command '$command'"
    usage >&2
    exit 2
    ;;
esac
