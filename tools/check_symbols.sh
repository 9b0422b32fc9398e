#!/usr/bin/env bash
# Kernel objects may not define weak symbols. The linker keeps one copy of a weak function for the whole program; if
# that is the copy compiled for AVX-512, everybody runs it, and an older processor dies of an illegal instruction.
# usage: tools/check_symbols.sh BUILD_FOLDER
set -euo pipefail
build=${1:?usage: $0 BUILD_FOLDER}
mapfile -t objects < <(find "$build" -path '*fastnn_kernels_*' -name '*.o')
if [ ${#objects[@]} -eq 0 ]; then
  echo "no kernel objects under $build" >&2
  exit 1
fi
# W, V: weak function or object; u: unique global. Undefined weak references (w, v) define nothing.
if nm -A -C "${objects[@]}" | grep ' [WVu] '; then
  echo "kernel objects define the weak symbols above: make those functions static, or members of the namespace of the ISA" >&2
  exit 1
fi
echo "${#objects[@]} kernel objects define no weak symbols"
