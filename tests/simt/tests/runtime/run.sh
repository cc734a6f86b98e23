#!/bin/sh
# Runs the test programs through simt and says what passed.
# run.sh FOLDER GROUP [NAME]...   FOLDER: <build>/simt; only the tests of the group whose name contains one of the names
folder=$1 group=$2
shift 2
wanted="$*"
cd "$folder/tests" || exit 2
simt=$folder/simt
passed=0 failed=0
log=log.$group # ctest may run groups side by side

selected() {
  [ -z "$wanted" ] && return 0
  for name in $wanted; do case $1 in *$name*) return 0 ;; esac; done
  return 1
}
pass() { passed=$((passed + 1)); echo "pass $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; tail -15 $log; }
# expect LABEL STATUS PATTERN command...: the exit status, and a line of the output that matches (or "-" for none)
expect() {
  label=$1 status=$2 pattern=$3
  shift 3
  selected "$label" || return 0
  timeout 300 "$@" > $log 2>&1
  got=$?
  if [ $got != "$status" ]; then fail "$label" "exit status $got, not $status"
  elif [ "$pattern" != - ] && ! grep -q -e "$pattern" $log; then fail "$label" "no line matches '$pattern'"
  else pass "$label"; fi
}
seeds() { # seeds LABEL command...: all of 12 seeds must pass
  label=$1
  shift
  selected "$label" || return 0
  for seed in 1 2 3 4 5 6 7 8 9 10 11 12; do
    SIMT_SEED=$seed timeout 300 "$@" > $log 2>&1 || { fail "$label" "seed $seed"; return; }
  done
  pass "$label"
}

programs() {
  for name in basics basics_lz4 basics_size basics_plain shared streams graphs graph_more fuzz threads library per_thread \
    blas random plain cub_scan mixed/mixed; do
    expect $name 0 '^ok' $simt ./$name
  done
  expect persistent 0 '^ok' $simt ./persistent
  expect persistent-sm_80 0 '^ok' $simt --device=sm_80 ./persistent
  expect launch_ex 0 'simt: cudaMallocArray is not supported' $simt --devices=2 ./launch_ex
  expect old-rpath 0 '^ok' $simt ./hello_rpath
  expect no-device 0 '^0 devices: no CUDA-capable device is detected' $simt --devices=0 ./library count
  expect idle 0 'no CUDA call for 1 s' env SIMT_IDLE=1 $simt ./idle
  expect eager 0 '^ok' $simt --eager ./streams
  expect eager-fuzz 0 '^ok' $simt --eager ./fuzz
  for device in sm_80 sm_89 sm_100; do expect device-$device 0 '^ok' $simt --device=$device ./basics_plain; done
  # A program that opens its CUDA part, hidden, and closes it again.
  expect opens 0 '^ok' $simt ./opens ./module.so
  expect opens-fault 86 '^ok' $simt ./opens ./module.so fault
}

cub() { for name in cub_sort thrust_sort; do expect $name 0 '^ok' $simt ./$name; done; }

refusals() { # programs that cannot run say why
  expect sass-only 86 'carries machine code only (sm_90)' $simt ./hello_sass
  expect ptx-too-new 86 'carries PTX for compute_100 only' $simt ./hello_new
  expect ptx-new-device 0 '^ok' $simt --device=sm_100 ./hello_new
  expect ptx-specific 0 '^ok' $simt ./hello_specific
  expect ptx-specific-other 86 'carries PTX for compute_90a only' $simt --device=sm_100 ./hello_specific
  expect static-runtime 1 'runtime is linked statically' $simt ./hello_static
  expect rdc 0 '^ok' $simt ./rdc
  expect rdc-sass 86 'carries machine code only' $simt ./rdc_sass
}

orders() { # a right program is right in every order, a wrong one shows
  for name in streams graphs graph_more fuzz threads blas persistent; do seeds seeds-$name $simt ./$name; done
  expect missing-wait 0 '^wrong' $simt ./missing_wait
  expect wait-there 0 '^right' $simt ./missing_wait with-wait
  expect pinned-early 0 '^wrong' $simt ./pinned_early
  expect pinned-waited 0 '^right' $simt ./pinned_early with-wait
  expect plain-copy 86 'error: initcheck in _Z4read' $simt ./plain_copy
  expect plain-copy-eager 0 '^right' $simt --eager ./plain_copy
  expect plain-copy-sync 0 '^right' $simt --sync-copies ./plain_copy
  expect plain-copy-waited 0 '^right' $simt ./plain_copy with-wait
  selected missing-wait-seeds || return 0
  wrong=0 right=0
  for seed in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    case $(SIMT_SEED=$seed $simt ./missing_wait 2> /dev/null) in
      wrong) wrong=$((wrong + 1)) ;;
      right) right=$((right + 1)) ;;
    esac
  done
  echo "wrong $wrong right $right" > $log
  if [ $wrong -gt 0 ] && [ $right -gt 0 ]; then pass missing-wait-seeds; else fail missing-wait-seeds "seeds do not differ"; fi
}

faults() { # planted bugs are reported
  export SIMT_LEAKS=0
  expect fault-assert 86 'device-side assert triggered' $simt ./faults assert
  expect fault-trap 86 'unspecified launch failure' $simt ./faults trap
  expect fault-undefined-goes-on 86 'goes on' $simt ./faults undefined
  expect fault-kernel 86 'error: memcheck in _Z5touch' $simt ./faults kernel
  expect fault-copy 86 'error: memcheck in cudaMemcpy' $simt ./faults copy
  expect fault-direction 86 'does not fit the pointers' $simt ./faults direction
  expect fault-double-free 86 'invalid or double free' $simt ./faults double-free
  expect fault-free-queued 86 'error: memcheck in _Z5touch' $simt ./faults free-queued
  expect fault-gemm-bounds 86 'in cublasSgemm: read of A: 64 bytes' $simt ./faults gemm-bounds
  expect fault-gemm-output 86 'in cublasSgemm: write of C: 64 bytes' $simt ./faults gemm-output
  expect fault-gemm-undefined 86 'error: initcheck in cublasSgemm: read of B' $simt ./faults gemm-undefined
  expect fault-gemm-undefined-c 86 'error: initcheck in cublasSgemm: read of C' $simt ./faults gemm-undefined-c
  expect no-fault-gemm-c-unread 0 - $simt ./faults gemm-undefined-c-unread
  expect fault-gemm-freed 86 'not in any live device allocation' $simt ./faults gemm-freed
  expect fault-gemm-host 86 'pageable host memory' $simt ./faults gemm-host
  expect fault-workspace-dead 86 'in cublasSetWorkspace: .* are not inside one' $simt ./faults workspace-dead
  expect fault-workspace-short 86 'in cublasSetWorkspace: .* are not inside one' $simt ./faults workspace-short
  expect fault-workspace-freed 86 'in cublasSgemm: write of the workspace: .*(freed' $simt ./faults workspace-freed
  expect fault-workspace-on-input 86 'error: initcheck in cublasSgemm: read of A' $simt ./faults workspace-on-input
  expect fault-workspace-on-data 86 'error: initcheck in _Z6copies' $simt ./faults workspace-on-data
  expect fault-no-fence 86 'error: racecheck in _Z5steps' $simt ./persistent no-fence
  expect fault-host-touch 139 'host code touched device memory' $simt ./faults host-touch
}

counts() {
  rm -f counts.json
  expect counts 0 '^ok' $simt --report=counts.json ./counts
  expect counts-json 0 '"counts": {"launches": 7, "captured_launches": 1, "graph_launches": 2, "kernels_run": 8, ' cat counts.json
  expect counts-default-workspace 0 '"cublasSgemm", "calls": 5, .*"default_workspace": 1}' cat counts.json
  expect counts-without-simt 0 '^no simt$' ./counts absent
}

leaks() {
  unset SIMT_LEAKS
  expect leaks-reported 0 'leak: 2 device allocations never freed' $simt ./missing_wait
  expect leaks-as-errors 86 'error: leak' $simt --leaks=2 ./missing_wait
  expect leaks-off 0 - $simt --leaks=0 ./missing_wait
}

symbols() { # the libraries fit programs linked with the real ones
  : > $log
  for program in basics blas random plain; do LD_LIBRARY_PATH=$folder/lib ldd -r ./$program >> $log 2>&1; done
  if grep -E 'undefined symbol|no version information|version .* not found|not found' $log > bad.$group; then
    cp bad.$group $log
    fail symbols "see the loader's words"
  else pass symbols; fi
}

$group
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
