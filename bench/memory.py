#!/usr/bin/env python
"""Memory of a training step: what the step's tensors take at their peak, and what the process grows by.

    python bench/memory.py              peaks of two networks, eager and captured, beside PyTorch and JAX
    python bench/memory.py --soak 10000  resident memory over many steps with changing batch sizes

Every library runs in a process of its own. "tensors" is the library's own account of a step once training has settled:
fastnn's allocator, PyTorch's memory events on top of what lives between steps, XLA's plan. "resident" is what the
process grew by from before the first step to its largest, which also has what allocators keep and what libraries load.
"""

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import libraries  # noqa: E402

LIBS = ("fastnn", "fastnn-captured", "torch", "torch-compile", "jax")
#: Layer sizes and batch; Adam everywhere.
MODELS = {
    "mlp 784-256-128-10, batch 64": ((784, 256, 128, 10), 64),
    "20 layers of 256, batch 512": ((256,) * 20 + (10,), 512),
}


def params(name):
    sizes, batch = MODELS[name]
    return {"sizes": sizes, "batch": batch, "optimizer": "adam", "lr": 1e-4, "steps": 4}


def resident(peak=False):
    """Bytes of this process in memory now, or the most since `forget_peak`."""
    field = "VmHWM" if peak else "VmRSS"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"no {field} in /proc/self/status")


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def fastnn_tensors(run, v):
    import fastnn

    fastnn.reset_peak_memory()
    run()
    return fastnn.memory_stats()["peak"] + v["x"].nbytes + v["y"].nbytes  # those are NumPy's memory


def torch_tensors(run, v):
    """What lives between steps plus the highest point of the step's allocations."""
    import torch

    gc.collect()
    storages = {}
    for x in [x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter)]:
        for t in (x, x.grad if x.is_leaf else None):
            if t is not None:
                storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    live = highest = 0
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    for e in sorted(events, key=lambda e: e.start_ns()):
        live += e.nbytes()
        highest = max(highest, live)
    return sum(storages.values()) + highest


def jax_tensors(run, v):
    """XLA's plan of the step: arguments, what it needs in between, results that do not take an argument's place."""
    import jax.numpy as jnp

    plan = run.step.lower(*run.state, jnp.asarray(v["x"]), jnp.asarray(v["y"])).compile().memory_analysis()
    results = plan.output_size_in_bytes - plan.alias_size_in_bytes
    return plan.argument_size_in_bytes + plan.temp_size_in_bytes + results


def peak(lib, model):
    """The two figures of one library and network."""
    import numpy as np

    suite = importlib.import_module("suites.train")
    p = params(model)
    v = suite.inputs(p, np.random.default_rng(0))
    before = resident()
    forget_peak()
    run = suite.BUILDERS[lib](p, v, 1)
    for _ in range(10):
        run()
    grown = resident(peak=True) - before
    kind = libraries.base(lib)
    tensors = {"fastnn": fastnn_tensors, "torch": torch_tensors, "jax": jax_tensors}[kind](run, v)
    return {"tensors": tensors, "resident": grown}


def soak(lib, steps):
    """Resident bytes at ten points of `steps` steps whose batches have 1 to 64 examples."""
    import numpy as np

    suite, rng = importlib.import_module("suites.train"), np.random.default_rng(0)
    builder = importlib.import_module(f"builders.train_{libraries.base(lib)}")
    p = params("mlp 784-256-128-10, batch 64")
    v = suite.inputs(p, rng)
    step, tensor = builder.steps(p, v, lib)
    found = []
    for k in range(steps):
        n = rng.integers(1, 65)
        step(tensor(v["x"][:n]), tensor(v["y"][:n]))
        if (k + 1) % max(1, steps // 10) == 0:
            found.append(resident())
    return {"resident": found}


def child(lib, threads, *arguments):
    """The answer of a process of its own."""
    command = [sys.executable, __file__, "--child", lib, *map(str, arguments)]
    done = subprocess.run(command, env=libraries.environment(lib, threads), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{lib} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def megabytes(count):
    return f"{count / 2**20:.3g} MB"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--libs", type=lambda s: s.split(","), default=LIBS, help=f"default: {','.join(LIBS)}")
    p.add_argument("--soak", type=int, metavar="STEPS", help="resident memory over so many steps instead of peaks")
    p.add_argument("--child", nargs=2, metavar=("LIB", "WHAT"), help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.child:
        lib, what = options.child
        libraries.start(lib, 1)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        print(json.dumps(peak(lib, what) if what in MODELS else soak(lib, int(what))))
        return
    libs = [lib for lib in options.libs if libraries.installed(lib)]
    if options.soak:
        print(f"| library | resident after each tenth of {options.soak} steps | growth in the last half |")
        print("|---|---|---|")
        for lib in [lib for lib in libs if lib in ("fastnn", "fastnn-captured", "torch")]:
            found = child(lib, 1, options.soak)["resident"]
            print(f"| {lib} | {', '.join(f'{b / 2**20:.1f}' for b in found)} MB | {megabytes(found[-1] - found[4])} |")
        return
    print("| network, Adam | library | tensors | resident |\n|---|---|---|---|")
    for model in MODELS:
        for lib in libs:
            row = child(lib, 1, model)
            print(f"| {model} | {lib} | {megabytes(row['tensors'])} | {megabytes(row['resident'])} |", flush=True)


if __name__ == "__main__":
    main()
