#!/usr/bin/env bash
# Builds fastnn and its CUDA plug-in on this machine, checks them on its GPU and times them: one table, one JSON file.
# Nothing is fetched. See bench/gpu_check.py --help; PYTHON chooses the interpreter.
cd "$(dirname "$0")/.." || exit 1
if ! "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "gpu_check: needs Python 3.10 or newer; PYTHON=... chooses another one"
  exit 1
fi
exec "${PYTHON:-python3}" bench/gpu_check.py "$@"
