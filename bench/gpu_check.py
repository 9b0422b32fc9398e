"""What a GPU makes of fastnn: builds, checks and times it, and writes one table (report.md) and one report.json.

    bench/gpu_check.sh                       on a machine with a GPU; under 8 minutes, nothing is fetched
    bench/gpu_check.sh --tiny --plugin FILE  every part on small sizes with another plug-in, such as the emulator

Needs Python 3.10 with NumPy and pybind11 3, cmake, a C++17 compiler and nvcc; pybind11 may also lie in build/vendor.
PyTorch, torchvision, cuBLAS and compute-sanitizer are used where they are. Every part is a process of its own with a
time limit, so what one of them breaks is missing from the table and nothing else.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests")]

from gpu import report  # noqa: E402

# What runs beside what, in order; the seconds a part may take, where all take as long as they may; how many processes
# share it. With the seconds for building they are what there is for everything; what one leaves, the later ones share.
BUILD = 180
STAGES = [
    {"ops": (90, 4), "bf16": (60, 1), "recipes": (90, 1)},
    {"gemm": (45, 1)},
    {"kernels": (45, 1)},
    {"networks": (45, 1)},
    {"memcheck": (65, 4), "racecheck": (65, 4)},
]
PARTS = [name for stage in STAGES for name in stage]
SECONDS = BUILD + sum(max(limit for limit, _ in stage.values()) for stage in STAGES)


def limits(stages, left):
    """The parts of the first stage with their limits, in proportion to their share of the seconds that are left."""
    needed = sum(max(limit for limit, _ in stage.values()) for stage in stages)
    return {name: (left * limit / needed, processes) for name, (limit, processes) in stages[0].items()}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", help="default: %(default)s")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--plugin", type=Path, help="a built plug-in; nothing is built then, and fastnn is imported")
    parser.add_argument("--tiny", action="store_true", help="small sizes and few cases, to try the script itself")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for everything (default: %(default)s)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--share", default="0/1", help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = arguments()
    if args.part:
        return one_part(args)
    start = time.monotonic()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    result = report.Report(args.out, tiny=args.tiny)
    environment = dict(os.environ, FASTNN_GPU_CHECK_OUT=str(args.out))
    if args.plugin:
        environment["FASTNN_CUDA_PLUGIN"] = str(args.plugin.resolve())
    else:
        from gpu import build

        python_path, plugin = build.build(args.out, result, start + args.seconds * BUILD / SECONDS)
        environment["PYTHONPATH"] = os.pathsep.join([str(python_path), os.environ.get("PYTHONPATH", "")])
        if plugin is None:
            return result.end(time.monotonic() - start)
        environment["FASTNN_CUDA_PLUGIN"] = str(plugin)
    if describe(result, environment):
        stages = [{name: part for name, part in stage.items() if name in args.parts} for stage in STAGES]
        stages = [stage for stage in stages if stage]
        for i in range(len(stages)):
            parts = limits(stages[i:], start + args.seconds - time.monotonic())
            run_stage(parts, args, result, environment)
    return result.end(time.monotonic() - start)


def describe(result, environment):
    """Notes the machine; whether there is a device."""
    code = (
        "import json, platform, numpy, fastnn; from fastnn import cuda; ok = cuda.is_available(); "
        "print(json.dumps({'fastnn': fastnn.__version__, 'python': platform.python_version(), "
        "'numpy': numpy.__version__, 'why_not': cuda.why_not(), "
        "'device': cuda.get_device_properties() if ok else None}))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
        about = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        text = done.stderr if isinstance(error, ValueError) else error
        result.fail("machine", "fastnn cannot be asked about devices", text)
        return False
    result.machine.update(about)
    if about["device"] is None:
        result.fail("machine", "no device", about["why_not"])
    return about["device"] is not None


def run_stage(parts, args, result, environment):
    """Runs the parts of a stage side by side, each in its processes, and gathers their rows."""

    def run(name, share, shares, limit):
        rows = args.out / f"{name}-{share}.jsonl"
        rows.unlink(missing_ok=True)
        if limit < 5:
            return name, rows, "no time was left"
        command = [sys.executable, str(Path(__file__)), "--part", name, "--share", f"{share}/{shares}"]
        command += ["--rows", str(rows), "--seconds", str(limit - 3)] + ["--tiny"] * args.tiny
        log = args.out / f"{name}-{share}.log"
        with open(log, "w") as file:
            try:
                done = subprocess.run(command, env=environment, stdout=file, stderr=file, timeout=limit, cwd=ROOT)
            except subprocess.TimeoutExpired:
                return name, rows, f"stopped after {limit:.0f} s"
        return name, rows, None if done.returncode == 0 else f"exit status {done.returncode}: {last_line(log)}"

    jobs = [(name, i, n, limit) for name, (limit, n) in parts.items() for i in range(n)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for name, rows, problem in pool.map(lambda job: run(*job), jobs):
            if rows.exists():
                result.add_lines(name, rows.read_text())
            if problem:
                result.fail(name, "the part did not end", problem)
    result.write()


def last_line(log):
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def one_part(args):
    """Runs one part in this process; its rows go to a file as they are made."""
    share, shares = map(int, args.share.split("/"))
    module = importlib.import_module({"memcheck": "gpu.sanitizer", "racecheck": "gpu.sanitizer", "bf16": "gpu.ops"}.get(
        args.part, f"gpu.{args.part}"))  # fmt: skip
    options = report.Options(args.part, args.tiny, share, shares, time.monotonic() + args.seconds)
    with open(args.rows, "w") if args.rows else sys.stdout as file:
        for row in module.run(options):
            print(json.dumps(row), file=file, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
