#!/bin/bash
# Builds the module with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests marked `kernels` on it.
#
#     tools/sanitize.sh [PYTHON] [FOLDER] [pytest arguments]
#
# PYTHON has numpy, pybind11 and pytest; FOLDER (build-sanitize) holds the build and is reused.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${1:-python3}")
folder=${2:-build-sanitize}
shift $(($# < 2 ? $# : 2))

cmake -S . -B "$folder" -DFASTNN_SANITIZE=address,undefined -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >"$folder.log"
cmake --build "$folder" --target _C --parallel "$(nproc)" >>"$folder.log" || {
  tail -n 40 "$folder.log"
  exit 1
}

site=$folder/site
rm -rf "$site"
mkdir -p "$site"
cp -r python/fastnn "$site/"
rm -f "$site"/fastnn/_C*.so
cp "$folder"/_C*.so "$site/fastnn/"
# PyTorch is not what is examined, and is slow to load under the sanitizers.
echo 'raise ModuleNotFoundError("hidden from the sanitizer run")' >"$site/torch.py"
# Python never frees everything, so leaks are not looked for. The guard-page tests want the signal itself.
# Kernels for avx2 are not instrumented (CMakeLists.txt).
env FASTNN_TEST_ISAS="baseline avx512 neon" LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0 UBSAN_OPTIONS=print_stacktrace=1 \
  PYTHONPATH="$site" PYTHONMALLOC=malloc "$python" -m pytest -q tests -m kernels -p no:cacheprovider "$@"
