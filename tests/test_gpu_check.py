"""bench/gpu_check.py, the script for machines with a GPU: what it says without one, a part of it on the emulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import cuda

BENCH = Path(__file__).parent.parent / "bench"


def check(out, *options):
    """(exit status, report) of a run."""
    path = os.pathsep.join([str(Path(cuda.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(BENCH / "gpu_check.py"), "--out", str(out), *options]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300)
    assert (out / "report.json").exists(), done.stderr
    assert (out / "report.md").read_text() in done.stdout
    return done.returncode, json.loads((out / "report.json").read_text())


def test_without_a_device(tmp_path):
    code, report = check(tmp_path, "--plugin", str(tmp_path / "none.so"))
    assert code == 1 and report["machine"]["device"] is None
    (row,) = report["rows"]
    assert row["ok"] is False and "none.so" in row["note"]


@pytest.mark.slow
@pytest.mark.skipif(not cuda.is_available(), reason="no CUDA device and no emulator")
def test_products(tmp_path):
    plugin = os.environ.get("FASTNN_CUDA_PLUGIN") or str(Path(cuda.__file__).parent / "libfastnn_cuda.so")
    code, report = check(tmp_path, "--tiny", "--parts", "gemm", "--plugin", plugin)
    rows = {row["name"]: row for row in report["rows"]}
    assert code == 0 and report["tiny"], report["rows"]
    assert {"float32 64", "bf16 128"} <= rows.keys() and all(row["value"] > 0 for row in rows.values())


def test_relative_error():
    sys.path.insert(0, str(BENCH))
    try:
        from gpu.ops import error
    finally:
        sys.path.remove(str(BENCH))
    want = np.array([1.0, -4.0, np.nan, np.inf])
    assert error(want.astype(np.float32), want) == 0
    assert error(np.array([1.0, -4.1, np.nan, np.inf]), want) == pytest.approx(0.1 / 4, rel=1e-5)
    assert error(np.array([1.0, -4.0, 0.0, np.inf]), want) == np.inf
    assert error(np.array([np.nan, -4.0, np.nan, np.inf]), want) == np.inf
    assert error(np.ones(3), want) == np.inf
    assert error(np.array([1, 2]), np.array([1, 3])) == np.inf and error(np.array([1, 2]), np.array([1, 2])) == 0
