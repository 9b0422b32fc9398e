#!/usr/bin/env bash
# Compiles the CUDA plug-in for sm_80 and sm_90a, warnings as errors, and looks at what came out: no spills in the
# kernels that matter for speed, tensor-core instructions in the matrix products. Passes where there is no nvcc.
#   tools/check_cuda.sh PYTHON BUILD_DIR [DIST_DIR]    builds the wheel of ./cuda, into DIST_DIR
set -uo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3} build=${2:-build/cuda} dist=${3:-$2/dist}

nvcc=
for candidate in "${CUDACXX:-}" "$(command -v nvcc)" /usr/local/cuda/bin/nvcc; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then
    nvcc=$candidate
    break
  fi
done
if [ -z "$nvcc" ]; then
  echo 'no nvcc here ($CUDACXX, PATH, /usr/local/cuda/bin): the CUDA kernels are not compiled'
  exit 0
fi

mkdir -p "$build"
build=$(cd "$build" && pwd)  # the build of ./cuda would take a relative folder for one of its own
rm -rf "$build/plugin"       # what ptxas says is only heard when it runs
log=$build/compile.log
CUDACXX=$nvcc "$python" -m pip wheel --no-deps -v -w "$dist" -C build-dir="$build/plugin" \
  -C cmake.define.CMAKE_CUDA_COMPILER="$nvcc" -C cmake.define.FASTNN_CUDA_CHECK=ON ./cuda >"$log" 2>&1
status=$?
if [ $status -ne 0 ]; then
  grep -E 'error|warning|FAILED' "$log" | head -40
  echo "the CUDA plug-in does not compile: see $log"
  exit 1
fi
exec "$python" tools/check_cuda.py "$log" "$build/plugin" "$nvcc"
