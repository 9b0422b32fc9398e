#!/usr/bin/env python
"""The same work in fastnn and in the libraries that are installed beside it, in one run.

    python bench/compare.py --suite gemm,dispatch --threads 1,2 --out results

Every library runs in a process of its own, pinned to the first 1, 2, ... processors. The processes stay alive and are
asked in turn, in rounds, to time the same case for a slice of the budget, so that drift of the machine hits all alike.
A case's result is compared with float64 NumPy before it is timed. Times are medians over all rounds; the ratio is the
time of the best peer of the same precision over fastnn's (above 1: fastnn is faster); % is of what this machine was
measured to allow: arithmetic, or bandwidth of the level of memory the data fits in, whichever is the tighter limit. The
limits of a case are measured beside it, in every round, for the clock of a machine wanders.
A long run can be made in pieces (--only, --threads) and put together with --join.
"""

import argparse
import datetime
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pipe
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import libraries  # noqa: E402
import report  # noqa: E402
import roofline  # noqa: E402
import roofs  # noqa: E402


class Library:
    """A worker process; one that dies is started again for the next case."""

    #: Longest answer to wait for: compiling a graph may take a minute, a hang must not take the whole run.
    TIMEOUT = 300.0

    def __init__(self, lib, threads, suite, isa=None):
        self.lib, self.threads, self.suite, self.isa = lib, threads, suite, isa
        self.process = self.pipe = None

    def pid(self):
        """Of the process; None while there is none."""
        return self.process and self.process.pid

    def ask(self, *request):
        """The answer as a dict; ``failed`` in it says why there is none."""
        if self.process is None:
            answer = self._start()
            if "failed" in answer:
                self.stop()
                return answer
        return self._exchange(request)

    def _start(self):
        self.pipe, theirs = Pipe()
        arguments = [str(theirs.fileno()), self.lib, str(self.threads), self.suite]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), *arguments],
            pass_fds=[theirs.fileno()],
            env=libraries.environment(self.lib, self.threads, self.isa),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if not os.environ.get("BENCH_DEBUG") else None,
        )
        theirs.close()
        return self._exchange(None)

    def _exchange(self, request):
        try:
            if request is not None:
                self.pipe.send(request)
            if self.pipe.poll(self.TIMEOUT):
                return self.pipe.recv()
            reason = f"no answer within {self.TIMEOUT:.0f} s"
        except (EOFError, OSError):
            reason = f"process ended ({self.process.wait()})"
        self.stop()
        return {"failed": reason}

    def stop(self):
        if self.process is not None:
            self.pipe.close()  # the worker leaves at the end of its pipe
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = self.pipe = None


def undisturbed(run, pid):
    """What run() gives; where others were busy beside process pid() meanwhile it runs again, twice at most.

    Returns the answer and whether it was disturbed all the same.
    """
    for wait in (0.005, 0.1, 0.3):  # also lets the previous library's threads stop spinning
        time.sleep(wait)
        start, before, mine = time.perf_counter(), roofs.busy(), roofs.busy(pid())
        answer = run()
        if "failed" in answer:
            return answer, False
        others = (roofs.busy() - before) - (roofs.busy(pid()) - mine)
        if others <= max(0.02, 0.1 * (time.perf_counter() - start)):  # the clock of the system counts hundredths
            return answer, False
    return answer, True


def summary(samples, rounds, disturbed):
    """Median over everything; `drift` is the spread of the rounds' medians, `disturbed` how many rounds were."""
    ordered = sorted(samples)
    return {
        "disturbed": disturbed,
        "us": statistics.median(ordered) * 1e6,
        "min_us": ordered[0] * 1e6,
        "p90_us": ordered[int(0.9 * (len(ordered) - 1))] * 1e6,
        "drift": max(rounds) / min(rounds) - 1,
        "samples": len(ordered),
    }


def check_case(index, workers, tiny):
    """Ask all libraries for the case's result. Returns library -> row, and the workers whose result is right."""
    rows, ready = {}, []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for worker in workers:
            answer = worker.ask("prepare", index, folder, tiny)
            if "error" in answer:
                rows[worker.lib] = {"error_over_bound": answer["error"], "first_us": answer["first"] * 1e6}
                if answer["note"]:
                    rows[worker.lib]["note"] = answer["note"]
                ready.append(worker)
            else:
                rows[worker.lib] = answer
    return rows, ready


def time_case(rows, ready, budget, rounds, measure):
    """Time the libraries in `ready`, in turn, and put the times into their rows.

    Returns what `measure()` gave in the rounds that others did not disturb, or in all.
    """
    peaks = []
    samples = {w.lib: [] for w in ready}
    medians = {w.lib: [] for w in ready}
    disturbed = {w.lib: 0 for w in ready}
    for k in range(rounds):
        peaks.append(undisturbed(measure, os.getpid))
        turn = k % len(ready) if ready else 0
        for worker in ready[turn:] + ready[:turn]:
            if worker.lib not in samples:
                continue
            slice_of = functools.partial(worker.ask, "time", budget / rounds)
            answer, noisy = undisturbed(slice_of, worker.pid)
            if "failed" in answer:
                rows[worker.lib] = answer
                del samples[worker.lib]
                continue
            samples[worker.lib] += answer["samples"]
            medians[worker.lib].append(statistics.median(answer["samples"]))
            disturbed[worker.lib] += noisy
    for worker in ready:
        if worker.lib in samples:
            rows[worker.lib].update(summary(samples[worker.lib], medians[worker.lib], disturbed[worker.lib]))
            worker.ask("drop")
    quiet = [found for found, noisy in peaks if not noisy]
    return quiet or [found for found, _ in peaks]


def typical(peaks):
    """One list of peaks of those of several rounds: the median of a roof's bests."""
    return [{**same[0], "best": statistics.median(p["best"] for p in same)} for same in zip(*peaks)]


def run_suite(name, options, roof):
    """All cases of a suite on every thread count, printing as it goes. Returns the report's rows."""
    suite = importlib.import_module(f"suites.{name}")
    wanted = options.libs or suite.LIBS
    libs = [lib for lib in wanted if libraries.plain(lib) in suite.BUILDERS and libraries.installed(lib)]
    cases = [(i, c) for i, c in enumerate(suite.CASES) if not options.only or any(o in c.name for o in options.only)]
    table = []
    for threads in options.threads:
        workers = [Library(lib, threads, name, options.isa) for lib in libs]
        for index, case in cases:
            rows, ready = check_case(index, workers, options.tiny)
            here = roof
            if not options.check_only:
                measure = functools.partial(roof.beside, case, threads)
                beside = typical(time_case(rows, ready, options.budget, options.rounds, measure))
                here = roofs.Roofs(beside or roof.peaks, roof.caches, roof.isa)
            row = report.Row(name, case, threads, rows, here.limits(case, threads), options.isa)
            print(row.check_line())
            if not options.check_only:
                print(row.timing_line(), flush=True)
            table.append(row)
        for worker in workers:
            worker.stop()
    return table


def parse(arguments):
    suites = sorted(p.stem for p in (HERE / "suites").glob("*.py") if p.stem != "__init__")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text):
        return [t.strip() for t in text.split(",") if t.strip()]

    p.add_argument("--suite", type=names, default=suites, help=f"of {', '.join(suites)} (default: all)")
    p.add_argument("--only", type=names, default=[], help="only cases whose name contains one of these")
    p.add_argument("--threads", type=lambda s: [int(t) for t in names(s)], default=None, help="default: 1,2")
    p.add_argument("--libs", type=names, default=None, help="default: what each suite lists and is installed")
    p.add_argument("--budget", type=float, default=0.5, help="seconds of timing a case and library (default 0.5)")
    p.add_argument("--rounds", type=int, default=5, help="turns the budget is cut into (default 5)")
    p.add_argument("--peaks", type=Path, help="JSON of bench/peak, instead of measuring all roofs at the start")
    p.add_argument("--isa", choices=list(libraries.HELD_TO), help="hold fastnn, and peers that can be, to this one")
    p.add_argument("--check-only", action="store_true", help="compare results with float64, time nothing")
    p.add_argument("--tiny", action="store_true", help="small shapes, where a suite has them: for trying things out")
    p.add_argument("--join", type=Path, nargs="+", help="results.json of earlier runs: one report of all, nothing run")
    p.add_argument(
        "--out", type=Path, help="write results.json, results.md, results.txt and roofline.png into this folder"
    )
    options = p.parse_args(arguments)
    for suite in options.suite:
        if suite not in suites:
            p.error(f"--suite: {suite!r} is not one of {', '.join(suites)}")
    usable = len(os.sched_getaffinity(0))
    if options.threads is None:
        options.threads = [t for t in (1, 2) if t <= usable]
    for threads in options.threads:
        if not 1 <= threads <= usable:
            p.error(f"--threads: expects 1 to {usable} (the processors this process may use), got {threads}")
    if options.rounds < 1 or options.budget <= 0:
        p.error("--rounds and --budget must be positive")
    for lib in options.libs or []:
        if libraries.base(lib) not in libraries.MODULES:
            p.error(f"--libs: {lib!r} is not a variant of {', '.join(libraries.MODULES)}")
    return options


def measured(options):
    """Everything as a dict, which is also what results.json holds, and its rows."""
    machine = roofs.machine()
    if options.peaks:
        peaks = json.loads(options.peaks.read_text())
    else:
        peaks = [] if options.check_only else roofs.measure(options.threads)
    roof = roofs.Roofs(peaks, machine["caches"], options.isa)
    print(report.heading(machine, peaks), flush=True)
    table = [row for name in options.suite for row in run_suite(name, options, roof)]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "machine": machine,
        "versions": libraries.versions(sorted({lib for row in table for lib in row.results})),
        "peaks": peaks,
        "rows": [row.as_dict() for row in table],
    }, table


def joined(paths):
    """The reports of several runs as one; where a row was measured twice, the later file counts."""
    results = [json.loads(path.read_text()) for path in paths]
    machines = {(r["machine"]["cpu"], r["machine"]["family"], r["machine"]["model"]) for r in results}
    if len(machines) != 1:
        raise SystemExit(f"--join: expects runs of one machine, got {sorted(machines)}")
    rows = {(d["suite"], d["isa"], d["threads"], d["case"]): d for r in results for d in r["rows"]}
    table = report.in_order(report.Row.from_dict(d) for d in rows.values())
    result = {**results[-1], "command": [r["command"] for r in results]}
    result["versions"] = {k: v for r in results for k, v in r["versions"].items()}
    result["peaks"] = [p for r in results for p in r["peaks"]]
    result["rows"] = [row.as_dict() for row in table]
    return result, table


def main(arguments=None):
    options = parse(arguments)
    result, table = joined(options.join) if options.join else measured(options)
    text = report.tables(table, markdown=False)
    if not options.check_only:
        print("\n" + text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
        (options.out / "results.txt").write_text(report.heading(result["machine"], result["peaks"]) + "\n\n" + text)
        (options.out / "results.md").write_text(report.markdown(result, table))
        print(roofline.draw(result, options.out / "roofline.png")[1])
    # A wrong or crashed fastnn is a failure of the run, whatever its speed.
    ours = [r for row in table for lib, r in row.results.items() if libraries.base(lib) == "fastnn"]
    return 1 if any("failed" in r for r in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
