"""The benchmarks run, check results before they time them, and the roofs they refer to have the right form."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastnn

BENCH = Path(__file__).resolve().parent.parent / "bench"
COMPARE = BENCH / "compare.py"
SUITES = sorted(p.stem for p in BENCH.glob("suites/*.py"))
PEAKS = [
    {
        "kind": "fma f32",
        "where": "baseline",
        "threads": 1,
        "bytes": 0,
        "median": 99.0,
        "best": 100.0,
        "unit": "GFLOP/s",
    },
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
        assert result["percent"] == pytest.approx(100 * row["limits"]["f32"]["us"] / result["us"])
    assert row["limit"] == "fma" and row["best_peer"] == "numpy"
    assert row["ratio"] == pytest.approx(row["results"]["numpy"]["us"] / row["results"]["fastnn"]["us"])
    assert out.index("check gemm 64^3") < out.index("time:")
    assert "64^3" in (tmp_path / "results.md").read_text()


def same(a, b):
    """Whether two reports are equal, but for the rounding of seconds to microseconds and back."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == (pytest.approx(b, rel=1e-12) if isinstance(a, float) else b)


def test_pieces_are_joined_and_drawn(compare, tmp_path):
    """Two runs make one report in the order of the suite; a row measured twice counts as it was measured last."""
    parts = []
    for only in ("128^3", "64^3,128^3"):
        compare("--suite", "gemm", "--libs", "fastnn,numpy", "--only", only)
        parts.append(tmp_path / f"{len(parts)}.json")
        (tmp_path / "results.json").rename(parts[-1])
    out = tmp_path / "joined"
    command = [sys.executable, str(COMPARE), "--join", *map(str, parts), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert [row["case"] for row in rows] == ["64^3", "128^3"]
    assert same(rows, json.loads(parts[1].read_text())["rows"])
    if importlib.util.find_spec("matplotlib"):
        picture = (out / "roofline.png").read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) < 200_000


@pytest.fixture(scope="module")
def bench():
    """Imports a module of bench/ and takes the folder off the path again."""
    if not COMPARE.exists():
        pytest.skip("runs in a source tree")
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module
    sys.path.remove(str(BENCH))


def cases():
    """Every row of every suite, or nothing when the tests run without the source tree."""
    sys.path.insert(0, str(BENCH))
    try:
        for name in SUITES:
            suite = importlib.import_module(f"suites.{name}")
            for index, case in enumerate(suite.CASES):
                yield pytest.param(name, index, id=f"{name}-{case.name.replace(' ', '-')}")
    finally:
        sys.path.remove(str(BENCH))


@pytest.mark.parametrize("name, index", list(cases()))
def test_row_is_right(bench, name, index):
    """What would be timed is right, on small shapes; the peers are checked by the benchmark itself."""
    suite, check = bench(f"suites.{name}"), bench("worker").check
    case = suite.CASES[index]
    params = getattr(suite, "tiny", dict)(case.params)
    inputs = suite.inputs(params, case.rng())
    enabled = fastnn.is_grad_enabled()
    fastnn.manual_seed(0)
    try:
        for lib in [lib for lib in suite.BUILDERS if lib.split("-")[0] == "fastnn" and lib not in case.skip]:
            run = suite.BUILDERS[lib](params, inputs, 1)
            if run is None:
                continue
            first = run()
            result = run.result() if hasattr(run, "result") else first
            assert check(result, suite.reference(params, inputs, lib)) <= 1
            run()
            fastnn.set_matmul_precision("float32")
    except bench("case").Missing as e:
        pytest.skip(str(e))
    finally:
        fastnn.set_grad_enabled(enabled)
        fastnn.set_matmul_precision("float32")


@pytest.mark.parametrize("name", SUITES)
def test_suite_is_complete(bench, name):
    suite = bench(f"suites.{name}")
    names = [case.name for case in suite.CASES]
    assert suite.TITLE and len(set(names)) == len(names)
    assert {lib.removesuffix("-keep") for lib in suite.LIBS} <= set(suite.BUILDERS)
    assert getattr(suite, "SUBJECT", "fastnn") in suite.LIBS


def test_limits(bench):
    """Arithmetic or memory, whichever takes longer; nominal operations are no limit; bf16 has a roof of its own."""
    roofs, case = bench("roofs"), bench("case")
    peaks = PEAKS + [{**PEAKS[0], "where": "avx512", "best": 200.0}, {**PEAKS[0], "kind": "bf16 dot", "best": 400.0}]
    caches = {"L1": 32 << 10}
    product = case.Case("product", flops=1e9, nbytes=1000)
    assert roofs.Roofs(peaks, caches).limits(product, 1) == {"f32": (1 / 200, "fma"), "bf16": (1 / 400, "bf16 dot")}
    assert roofs.Roofs(peaks, caches, "baseline").limits(product, 1)["f32"] == (1 / 100, "fma")
    copied = case.Case("copied", flops=1e9, nbytes=2000, nominal=True)
    assert roofs.Roofs(peaks, caches).limits(copied, 1)["f32"] == (2000 / 200e9, "L1")
    assert roofs.Roofs([], caches).limits(product, 1) == {}
    assert roofs.Roofs(peaks, caches).needed(product, 1) == [
        ("bf16 dot", "baseline"),
        ("fma f32", "avx512"),
        ("read", "L1"),
    ]
    assert roofs.Roofs(peaks, caches, "baseline").needed(product, 1)[1] == ("fma f32", "baseline")
    assert roofs.Roofs(peaks, caches).needed(copied, 1) == [("read", "L1")]


def test_limits_beside_a_case(bench):
    """Every round has its own: the middle one of the bests counts."""
    rounds = [[{"kind": "fma f32", "best": best}, {"kind": "read", "best": 10 * best}] for best in (3.0, 1.0, 2.0)]
    assert [p["best"] for p in bench("compare").typical(rounds)] == [2.0, 20.0]
    assert bench("compare").typical([[], []]) == []
    found = bench("roofs").measure([1], 0.01, [("read", "L2")])
    assert [(p["kind"], p["where"]) for p in found] == [("read", "L2")]


def test_busy_counts_processor_time(bench):
    """Work of this process shows in its own time and in everybody's."""
    busy = bench("roofs").busy
    mine, all_of_it, spent = busy(os.getpid()), busy(), time.process_time()
    while time.process_time() - spent < 0.2:
        pass
    assert 0.1 < busy(os.getpid()) - mine < 0.5 and busy() - all_of_it > 0.1


def test_ratio_is_to_peers_of_the_same_precision(bench):
    report, case = bench("report"), bench("case")
    times = {"fastnn": 4.0, "numpy": 8.0, "torch-keep": 6.0, "torch-bf16": 2.0, "fastnn-bf16": 1.0, "jax": None}
    results = {lib: {"us": us} if us else {"failed": "no"} for lib, us in times.items()}
    row = report.Row("gemm", case.Case("64^3"), 1, results, {})
    assert (row.best_peer(), row.ratio()) == ("torch-keep", 1.5)
    row = report.Row("gemm_bf16", case.Case("64^3"), 1, results, {})
    assert (row.best_peer(), row.ratio()) == ("torch-bf16", 2.0)
    again = report.Row.from_dict(json.loads(json.dumps(row.as_dict())))
    assert again.as_dict() == row.as_dict()


def test_wrong_result_is_not_timed(bench):
    """A result outside its bound, or of the wrong shape, or NaN is refused."""
    check = bench("worker").check
    want = np.arange(6.0).reshape(2, 3)
    assert check(fastnn.from_numpy(want + 0.5), [(want, 1.0)]) == 0.5
    for wrong in (want + 2, want.T, np.where(want == 3, np.nan, want)):
        with pytest.raises(AssertionError):
            check(wrong, [(want, 1.0)])


def test_memory():
    """A line for every network, and one for many steps."""
    if not COMPARE.exists():
        pytest.skip("runs in a source tree")
    for arguments, count in (([], 2), (["--soak", "20"], 1)):
        command = [sys.executable, str(BENCH / "memory.py"), "--libs", "fastnn,fastnn-captured", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and len(lines) == 2 + 2 * count, done.stderr
        assert all("fastnn" in line and "MB" in line for line in lines[2:])


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
    some = [("fma f32", "baseline"), ("copy", "L2")]
    assert [(row["kind"], row["where"]) for row in fastnn._C.measure_peaks(0.01, [1], some)] == some
    with pytest.raises(ValueError, match='no roof "fma f32" of "L2"'):
        fastnn._C.measure_peaks(0.01, [1], [("fma f32", "L2")])
