#!/bin/sh
# run_cuda.sh BUILD PROGRAM [ARGUMENT]... - runs a program on the GPU if there is one, else on simt, and says which.
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
if [ "$where" = gpu ]; then
  echo "GPU: $(nvidia-smi -L 2> /dev/null | head -n 1)"
  exec "$@"
fi
if [ ! -x "$build/simt/simt" ]; then
  echo "neither a GPU nor simt in this build: the CUDA rows will skip"
  exec "$@"
fi
export SIMT_LEAKS="${SIMT_LEAKS:-2}" SIMT_CHECK_COPIES="${SIMT_CHECK_COPIES:-1}"
echo "simt: seed ${SIMT_SEED:-0}"
exec "$build/simt/simt" "$@"
