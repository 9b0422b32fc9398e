"""compute-sanitizer over the first sample of every case: memcheck and racecheck."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

CHECK = Path(__file__).resolve().parent.parent / "gpu_check.py"


def run(options):
    if os.environ.get("FASTNN_GPU_CHECK_INSIDE"):  # this process runs under the tool
        from . import ops

        yield from ops.run(options)
        return
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.path.exists(tool):
        if options.share == 0:
            yield {"name": options.part, "ok": None, "note": "compute-sanitizer is not installed here"}
        return
    rows = Path(os.environ["FASTNN_GPU_CHECK_OUT"]) / f"{options.part}-{options.share}.rows"
    left = options.deadline - time.monotonic()
    command = [tool, "--tool", options.part, "--error-exitcode", "99", sys.executable, str(CHECK), "--part",
               options.part, "--share", f"{options.share}/{options.shares}", "--rows", str(rows),
               "--seconds", str(left - 5)] + ["--tiny"] * options.tiny  # fmt: skip
    environment = dict(os.environ, FASTNN_GPU_CHECK_INSIDE="1")
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=left)
        text = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("=========")]
        found = [line.strip("= ") for line in text if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line]
        note = "; ".join(found) or (done.stderr or done.stdout)[-200:]
        ok = done.returncode == 0
        if done.returncode == 99:
            note += "; first: " + " ".join(line.strip("= ") for line in text[1:5])
    except subprocess.TimeoutExpired:
        ok, note = None, "did not end in time"
    cases = rows.read_text().splitlines()[-1:] if rows.exists() else []
    yield {"name": f"{options.part}, share {options.share + 1} of {options.shares}", "ok": ok, "target": "clean",
           "note": f"{note} {' '.join(cases)}"[:300]}  # fmt: skip
