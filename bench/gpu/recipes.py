"""The short form of training recipes on the CPU and on the device, side by side: what they measured must agree."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Recipes whose data is generated or embedded, the options of their short form, which of their results is compared, and
# how near the two must be.
RECIPES = {
    "xor": ([], "accuracy", 0.02),
    "planar": (["--epochs", "1500"], "accuracy", 0.03),
    "slot-filling": (["--epochs", "3"], "rnn_known_cities_f1", 0.05),
    "temperature-forecast": (["--epochs", "5"], "rmse_gru", 0.05),
    "edge-filters": (["--epochs", "1000"], "error_vertical", 0.02),
    "digits": (["--epochs", "5"], "test_accuracy", 0.02),
}


def train(name, options, device, folder, seconds):
    """(results of the run, seconds); a RuntimeError says why there are none."""
    out = folder / f"recipe-{name}-{device.replace(':', '')}"
    command = [sys.executable, "-m", "fastnn", "train", name, "--device", device, "--quiet", "--no-plots", "--out",
               str(out), *options]  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1][:200])
    return json.loads((out / "run.json").read_text())["results"], time.monotonic() - start


def run(options):
    folder = Path(os.environ.get("FASTNN_GPU_CHECK_OUT", "build/gpu"))
    chosen = dict(list(RECIPES.items())[: 2 if options.tiny else None])
    with ThreadPoolExecutor(12) as pool:
        left = options.deadline - time.monotonic() - 2
        jobs = {
            (name, device): pool.submit(train, name, extra, device, folder, left)
            for name, (extra, _, _) in chosen.items()
            for device in ("cpu", "cuda:0")
        }
        for name, (_, key, bound) in chosen.items():
            try:
                (there, seconds), (here, cpu_seconds) = jobs[name, "cuda:0"].result(), jobs[name, "cpu"].result()
                a, b = float(here[key]), float(there[key])
            except (RuntimeError, OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as problem:
                yield {"name": name, "ok": False, "note": f"{type(problem).__name__}: {problem}"[:250]}
                continue
            yield {"name": f"{name}: {key.replace('_', ' ')}", "value": b, "peer": "CPU", "peer_value": a,
                   "ok": bool(abs(a - b) <= bound * max(1.0, abs(a))), "target": f"within {bound:g}",
                   "note": f"{seconds:.0f} s, CPU {cpu_seconds:.0f} s"}  # fmt: skip
