"""What the machine can do (measured), and which of its limits a case runs into."""

import json
import os
import platform
import subprocess
from pathlib import Path


def measure(threads, seconds=8.0, only=()):
    """Rows of fastnn's measure_peaks, from the module or from build*/bench/peak; empty if neither is there.

    `only` names some (kind, where) of them; the program gives no such choice, and so nothing.
    """
    usable = len(os.sched_getaffinity(0))
    threads = [t for t in threads if t <= usable]
    try:
        from fastnn import _C

        return _C.measure_peaks(seconds, threads, list(only))
    except ImportError:
        if only:
            return []
    except ValueError:
        if not only:
            raise
        return []  # named by the file of another machine
    root = Path(__file__).resolve().parent.parent
    for program in sorted(root.glob("build*/bench/peak")):
        command = [str(program), "--json", "--seconds", str(seconds), "--threads", ",".join(map(str, threads))]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return []


def busy(pid=None):
    """Seconds of processor time that were used so far, by everything (what the host took away included) or by one
    process."""
    if pid is None:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        user, nice, system, _, _, interrupts, soft, steal = map(int, fields[1:9])
        ticks = user + nice + system + interrupts + soft + steal
    else:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def machine():
    """Name, processors, caches in bytes."""
    info = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (index / "type").read_text().strip() != "Instruction":
            size = (index / "size").read_text().strip()
            scale = {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1)
            caches["L" + (index / "level").read_text().strip()] = int(size.rstrip("KM")) * scale
    return {
        "cpu": info.get("model name") or platform.machine(),
        "family": info.get("cpu family", ""),
        "model": info.get("model", ""),
        "processors": len(os.sched_getaffinity(0)),
        "caches": caches,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


class Roofs:
    """Looks up the roof of a case; every figure is the best that was measured, not the median.

    A clock that wanders moves the roofs, too: `beside` measures those of a case anew, in a moment.
    """

    def __init__(self, peaks, caches, isa=None):
        self.peaks, self.caches, self.isa = peaks, caches, isa

    def needed(self, case, threads):
        """(kind, where) of all that `limits` looks up for the case."""
        wanted = {(p["kind"], p["where"]) for p in self.peaks if p["threads"] == threads}
        kinds = set()
        if case.flops and not case.nominal:
            fastest = [where for kind, where in wanted if kind == "fma f32"]
            isa = self.isa or (max(fastest, key=lambda w: self._best("fma f32", threads, w)) if fastest else None)
            kinds |= {("fma f32", isa)} | {(kind, where) for kind, where in wanted if kind == "bf16 dot"}
        if case.nbytes:
            level = self.level(case.nbytes, threads)
            kinds |= {(kind, level) for kind in self._passes(case.traffic)}
        return sorted(kinds & wanted)

    def beside(self, case, threads, seconds=0.02):
        """The roofs that the case needs, measured now, in the form of `peaks`."""
        only = self.needed(case, threads)
        return measure([threads], seconds * len(only), only) if only else []

    def _best(self, kind, threads, where=None):
        rows = [p for p in self.peaks if p["kind"] == kind and p["threads"] == threads]
        return max((p["best"] for p in rows if where in (None, p["where"])), default=None)

    def flops(self, threads, precision="f32"):
        """FLOP/s of float32 on the instruction set of the run, or of bfloat16 products summed in float32."""
        best = self._best("bf16 dot", threads) if precision == "bf16" else self._best("fma f32", threads, self.isa)
        return best and best * 1e9

    def level(self, nbytes, threads):
        """The smallest level of memory that holds `nbytes` when `threads` cores share the work."""
        for name, cores in (("L1", threads), ("L2", threads), ("L3", 1)):
            if name in self.caches and nbytes <= 0.75 * self.caches[name] * cores:
                return name
        return "DRAM"

    def bandwidth(self, nbytes, threads, traffic):
        """Bytes per second of a pass over the level that holds `nbytes`; writes may bypass the caches."""
        level = self.level(nbytes, threads)
        return max((self._best(k, threads, level) or 0 for k in self._passes(traffic)), default=0) * 1e9

    @staticmethod
    def _passes(traffic):
        return ("read",) if traffic == "read" else ("copy", "copy streaming")

    def limits(self, case, threads):
        """For each precision the shortest time the machine allows and the name of the limit.

        A case with arithmetic is held against the arithmetic peak, unless moving its operands takes longer.
        """
        found = {}
        bandwidth = self.bandwidth(case.nbytes, threads, case.traffic)
        for precision, name in (("f32", "fma"), ("bf16", "bf16 dot")):
            limits = []
            if case.flops and not case.nominal and self.flops(threads, precision):
                limits.append((case.flops / self.flops(threads, precision), name))
            if case.nbytes and bandwidth:
                limits.append((case.nbytes / bandwidth, self.level(case.nbytes, threads)))
            if limits:
                found[precision] = max(limits)
        return found
