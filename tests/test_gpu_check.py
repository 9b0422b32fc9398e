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
@pytest.mark.device
def test_products(tmp_path):
    plugin = os.environ.get("FASTNN_CUDA_PLUGIN") or str(Path(cuda.__file__).parent / "libfastnn_cuda.so")
    code, report = check(tmp_path, "--tiny", "--parts", "gemm", "--plugin", plugin)
    rows = {row["name"]: row for row in report["rows"]}
    assert code == 0 and report["tiny"], report["rows"]
    assert {"float32 64", "bf16 128"} <= rows.keys() and all(row["value"] > 0 for row in rows.values())


def test_time_limits(monkeypatch):
    """All steps, each as long as it may take, end within the time for everything, which is under eight minutes."""
    monkeypatch.syspath_prepend(str(BENCH))
    import gpu_check

    assert gpu_check.SECONDS < 480
    left, stages = gpu_check.SECONDS - gpu_check.BUILD, gpu_check.STAGES
    for i in range(len(stages)):
        parts = gpu_check.limits(stages[i:], left)
        assert parts == {name: (pytest.approx(limit), n) for name, (limit, n) in stages[i].items()}
        left -= max(limit for limit, _ in parts.values())
    assert left == pytest.approx(0, abs=1e-6)
    assert gpu_check.limits([{"gemm": (45, 1)}], 300) == {"gemm": (300, 1)}


def test_large_products_are_for_hopper(monkeypatch):
    """At least as large as what csrc/ops/matmul/gemm_wgmma_cuda.cu asks for."""
    monkeypatch.syspath_prepend(str(BENCH))
    from gpu.ops import large_cases

    for case in large_cases():
        for sample in case.samples:
            (*_, m, k), (*_, n) = sample.args[0].shape, sample.args[1].shape
            assert m >= 128 and n >= 128 and k >= 256, sample


def test_relative_error(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from gpu.ops import error

    want = np.array([1.0, -4.0, np.nan, np.inf])
    assert error(want.astype(np.float32), want) == 0
    assert error(np.array([1.0, -4.1, np.nan, np.inf]), want) == pytest.approx(0.1 / 4, rel=1e-5)
    assert error(np.array([1.0, -4.0, 0.0, np.inf]), want) == np.inf
    assert error(np.array([np.nan, -4.0, np.nan, np.inf]), want) == np.inf
    assert error(np.ones(3), want) == np.inf
    assert error(np.array([1, 2]), np.array([1, 3])) == np.inf and error(np.array([1, 2]), np.array([1, 2])) == 0
