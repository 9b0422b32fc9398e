"""Times work on the device: many calls, then one wait; the best of several such runs, in seconds a call."""

import time

import numpy as np


def timed(call, wait, seconds=0.25, runs=5):
    """Seconds a call of `call`; `wait` ends when the device has done all."""
    for _ in range(4):  # a capture is recorded by its third call
        call()
    wait()
    count, taken = 1, 0.0
    while True:
        start = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        taken = time.perf_counter() - start
        if taken > seconds / runs / 2 or count > 1 << 16:
            break
        count = max(2 * count, int(count * seconds / runs / max(taken, 1e-6)))
    best = taken / count
    for _ in range(runs - 1):
        start = time.perf_counter()
        for _ in range(count):
            call()
        wait()
        best = min(best, (time.perf_counter() - start) / count)
    return best


def torch_cuda():
    """PyTorch with a CUDA device, or None."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def row(name, seconds, work, unit, target=None, limit=None, **more):
    """A row of `work` (in the unit times seconds); ok where `target`, a pair (what it is a share of, least share)."""
    made = {"name": name, "value": work / seconds, "unit": unit, **more}
    if target is not None and limit:
        share = made["value"] / limit
        made |= {
            "target": f">= {target:.0%}",
            "ok": bool(share >= target),
            "note": f"{share:.0%} of {limit:.0f} {unit}",
        }
    return made


def compare(made, peer, seconds, peer_seconds, least=None):
    """Adds a peer's time for the same work to a row; `least`: how many times as fast fastnn must be."""
    made |= {"peer": peer, "peer_value": made["value"] * seconds / peer_seconds, "ratio": peer_seconds / seconds}
    if least is not None:
        made |= {"target": f">= {least:g} x {peer}", "ok": bool(made["ratio"] >= least)}
    return made


def relative(got, want):
    """The largest difference over the largest magnitude."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))
