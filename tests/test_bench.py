"""The benchmarks run, check results before they time them, and the roofs they refer to have the right form."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn

COMPARE = Path(__file__).resolve().parent.parent / "bench" / "compare.py"
PEAKS = [
    {"kind": "fma f32", "where": "avx2", "threads": 1, "bytes": 0, "median": 99.0, "best": 100.0, "unit": "GFLOP/s"},
    {"kind": "read", "where": "L1", "threads": 1, "bytes": 24576, "median": 199.0, "best": 200.0, "unit": "GB/s"},
]


@pytest.fixture
def compare(tmp_path):
    """Runs compare.py for a moment and returns the exit code, the output and the rows of its JSON."""
    if not COMPARE.exists():
        pytest.skip("runs in a source tree")
    peaks = tmp_path / "peaks.json"
    peaks.write_text(json.dumps(PEAKS))

    def run(*arguments):
        command = [sys.executable, str(COMPARE), "--threads", "1", "--budget", "0.01", "--rounds", "2", *arguments]
        command += ["--peaks", str(peaks), "--out", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (tmp_path / "results.json").exists(), done.stderr
        return done.returncode, done.stdout, json.loads((tmp_path / "results.json").read_text())["rows"]

    return run


def test_compare(compare, tmp_path):
    code, out, rows = compare("--suite", "gemm", "--libs", "fastnn,numpy", "--only", "64^3")
    assert code == 0, out
    (row,) = rows
    for lib in ("fastnn", "numpy"):
        result = row["results"][lib]
        assert 0 <= result["error_over_bound"] <= 1
        assert 0 < result["min_us"] <= result["us"]
        assert result["percent"] == pytest.approx(100 * row["flops"] / 100e9 / (result["us"] * 1e-6))
    assert row["limit"] == "fma" and row["best_peer"] == "numpy"
    assert row["ratio"] == pytest.approx(row["results"]["numpy"]["us"] / row["results"]["fastnn"]["us"])
    assert out.index("check gemm 64^3") < out.index("time:")
    assert "64^3" in (tmp_path / "results.md").read_text()


def test_wrong_result_is_not_timed():
    """A result outside its bound, or of the wrong shape, or NaN is refused."""
    folder = str(COMPARE.parent)
    if not COMPARE.exists():
        pytest.skip("runs in a source tree")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("bench_worker", COMPARE.parent / "worker.py")
        worker = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(worker)
        want = np.arange(6.0).reshape(2, 3)
        assert worker.check(fastnn.from_numpy(want + 0.5), [(want, 1.0)]) == 0.5
        for wrong in (want + 2, want.T, np.where(want == 3, np.nan, want)):
            with pytest.raises(AssertionError):
                worker.check(wrong, [(want, 1.0)])
    finally:
        sys.path.remove(folder)


def test_measure_peaks():
    rows = fastnn._C.measure_peaks(0.05, [1])
    kinds = {row["kind"] for row in rows}
    assert {"fma f32", "read", "copy", "fill", "first touch"} <= kinds
    assert {row["where"] for row in rows if row["kind"] == "read"} >= {"L1", "L2", "DRAM"}
    assert [row["where"] for row in rows if row["kind"] == "fma f32"][-1] == fastnn.isa_found()
    for row in rows:
        assert row["threads"] == 1 and 0 < row["median"] <= row["best"], row
        assert row["unit"] == ("GFLOP/s" if row["kind"] in ("fma f32", "bf16 dot") else "GB/s")
    for wrong in ((0, []), (-1, [1]), (float("nan"), [1]), (1, [0]), (1, [100000])):
        with pytest.raises(ValueError):
            fastnn._C.measure_peaks(*wrong)
