"""One library in one process, pinned, asked over a pipe to prepare a case and to time it for a while.

Started by compare.py:  worker.py FD LIBRARY THREADS SUITE
Requests are ("prepare", index, folder, tiny), ("time", seconds) and ("drop",); each is answered by one dict.
"""

import gc
import importlib
import os
import statistics
import sys
import time
import traceback
from multiprocessing.connection import Connection

#: A sample lasts at least this long, so that the clock and the loop cost under 0.1 %.
SAMPLE = 1e-3


def timed(run, count):
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def check(result, expected):
    """Largest error as a fraction of what is allowed; raises if shapes differ or the result is wrong."""
    import libraries
    import numpy as np

    arrays = libraries.to_numpy(result)
    if len(arrays) != len(expected):
        raise AssertionError(f"{len(arrays)} results, expected {len(expected)}")
    worst = 0.0
    for got, (want, bound) in zip(arrays, expected):
        if got.shape != np.shape(want):
            raise AssertionError(f"shape {got.shape}, expected {np.shape(want)}")
        error = np.abs(got.astype(np.float64) - want) / bound
        worst = max(worst, float(error.max(initial=0.0)))
        if not error.max(initial=0.0) <= 1.0:  # also catches NaN
            raise AssertionError(f"error is {error.max():.3g} times what is allowed")
    return worst


class Worker:
    def __init__(self, lib, threads, suite):
        import libraries

        self.lib, self.threads = lib, threads
        libraries.start(lib, threads)
        self.suite = importlib.import_module(f"suites.{suite}")
        self.run = None

    def prepare(self, index, folder, tiny):
        """Build the case, compare its result with float64, warm up. `folder` keeps that result for the others."""
        from libraries import plain

        case = self.suite.CASES[index]
        params = getattr(self.suite, "tiny", dict)(case.params) if tiny else case.params
        builder = self.suite.BUILDERS.get(plain(self.lib))
        if self.lib in case.skip:
            return {"skip": case.skip[self.lib]}
        inputs = self.suite.inputs(params, case.rng())
        run = builder(params, inputs, self.threads)
        if run is None:
            return {"skip": "no such case in this library"}
        start = time.perf_counter()
        first = run()
        first_seconds = time.perf_counter() - start
        if hasattr(run, "result"):
            first = run.result()
        error = check(first, self._reference(params, inputs, f"{folder}/{index}"))
        del first, inputs
        once = min(timed(run, 1) for _ in range(1 if first_seconds > 2 else 3))
        self.count = max(1, int(SAMPLE / max(once, 1e-8)))
        timed(run, self.count)
        self.run = run
        return {"error": error, "first": first_seconds, "note": getattr(run, "note", "")}

    def _reference(self, params, inputs, stem):
        """The float64 result, computed by the first library that gets here and read by the others."""
        import libraries
        import numpy as np

        stem = f"{stem}-{libraries.precision(self.lib)}"
        try:
            count = int(np.load(f"{stem}.npy"))
            return [tuple(np.load(f"{stem}-{k}-{part}.npy", mmap_mode="r") for part in "xe") for k in range(count)]
        except FileNotFoundError:
            pass
        expected = self.suite.reference(params, inputs, self.lib)
        for k, arrays in enumerate(expected):
            for part, array in zip("xe", arrays):
                np.save(f"{stem}-{k}-{part}.npy", array)
        np.save(f"{stem}.npy", len(expected))
        return expected

    def time(self, seconds):
        """Samples of seconds per call until the time is up, at least one."""
        samples, end = [], time.perf_counter() + seconds
        while not samples or time.perf_counter() < end:
            samples.append(timed(self.run, self.count))
        # One number a hundredth of the slice at most: thousands of samples a case would only fatten the report.
        group = max(1, len(samples) // 100)
        return {"samples": [statistics.median(samples[i : i + group]) for i in range(0, len(samples), group)]}

    def drop(self):
        self.run = None
        gc.collect()
        return {}


def main():
    fd, lib, threads, suite = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    # Before any import that starts threads: pools look at the affinity mask to choose their size.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from case import Missing

    pipe = Connection(fd)
    try:
        worker = Worker(lib, threads, suite)
        pipe.send({})
    except Exception as e:
        pipe.send({"failed": f"{type(e).__name__}: {e}"})
        return
    gc.disable()  # a collection in the middle of a sample is nobody's speed
    while True:
        try:
            name, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(getattr(worker, name)(*arguments))
        except Missing as e:
            pipe.send({"skip": str(e)})
        except Exception as e:
            traceback.print_exc(limit=-2)
            pipe.send({"failed": f"{type(e).__name__}: {e}"})


if __name__ == "__main__":
    main()
