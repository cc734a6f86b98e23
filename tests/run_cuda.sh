#!/bin/sh
# run_cuda.sh BUILD PROGRAM [ARGUMENT]... - runs a program on the GPU if there is one, else on simt, and says which;
# exit status 77, "skipped", where there is neither, and of simt's other seeds on a GPU.
#
# What simt checks and how is in its own variables (SIMT_SEED, ...; tests/simt/README.md), which a GPU ignores; leaks
# and the copying of bytes that nothing wrote count as errors here. RONDO_TEST_GPU=gpu or simt decides instead.
set -eu
build=$1
shift
where=${RONDO_TEST_GPU:-}
if [ -z "$where" ]; then
  if nvidia-smi -L > /dev/null 2>&1; then where=gpu; else where=simt; fi
fi
# Where the backend was built it must run: then a row that finds no CUDA fails.
if [ -e "$build/librondo_cuda.so.0" ]; then
  export RONDO_TEST_REQUIRE="${RONDO_TEST_REQUIRE:+$RONDO_TEST_REQUIRE,}cuda"
fi
if [ "$where" = gpu ]; then
  if [ "${SIMT_SEED:-0}" != 0 ]; then
    echo "skipped: a seed of simt means nothing to a GPU"
    exit 77
  fi
  echo "GPU: $(nvidia-smi -L 2> /dev/null | head -n 1)"
  exec "$@"
fi
if [ ! -x "$build/simt/simt" ]; then
  echo "skipped: there is neither a GPU nor simt in this build"
  exit 77
fi
export SIMT_LEAKS="${SIMT_LEAKS:-2}" SIMT_CHECK_COPIES="${SIMT_CHECK_COPIES:-1}"
echo "simt: seed ${SIMT_SEED:-0}"
exec "$build/simt/simt" "$@"
