"""Rows and tables of compare.py."""

import importlib
import math

import libraries
from case import Case


def clock(us):
    """Three digits and a unit."""
    if us < 1000:
        return f"{us:.3g} us" if us < 100 else f"{us:.0f} us"
    if us < 1e6:
        return f"{us / 1e3:.3g} ms"
    return f"{us / 1e6:.3g} s"


class Row:
    """One case on one number of threads: what every library did.

    `limits` maps a precision to (shortest seconds the machine allows, name of the limit).
    """

    def __init__(self, suite, case, threads, results, limits, isa=None):
        self.suite, self.case, self.threads, self.results = suite, case, threads, results
        self.limits, self.isa = limits, isa
        #: The library that the ratio is for.
        self.subject = getattr(importlib.import_module(f"suites.{suite}"), "SUBJECT", "fastnn")

    @classmethod
    def from_dict(cls, d):
        """The row that `as_dict` wrote."""
        case = Case(d["case"], flops=d["flops"], nbytes=d["nbytes"])
        limits = {k: (v["us"] / 1e6, v["limit"]) for k, v in d["limits"].items()}
        return cls(d["suite"], case, d["threads"], d["results"], limits, d["isa"])

    @property
    def limit(self):
        return self.limits.get(libraries.precision(self.subject), (None, ""))[1]

    def us(self, lib):
        return self.results.get(lib, {}).get("us")

    def percent(self, lib):
        """Of the machine's limit, None where none is known."""
        seconds, us = self.limits.get(libraries.precision(lib), (None, ""))[0], self.us(lib)
        return None if us is None or seconds is None else 100 * seconds * 1e6 / us

    def best_peer(self):
        """The fastest library other than fastnn in the subject's precision; None if there is none."""
        peers = [
            lib
            for lib in self.results
            if libraries.base(lib) != "fastnn"
            and libraries.precision(lib) == libraries.precision(self.subject)
            and self.us(lib) is not None
        ]
        return min(peers, key=self.us, default=None)

    def ratio(self):
        """Time of the best peer over the time of the subject."""
        peer = self.best_peer()
        return None if peer is None or self.us(self.subject) is None else self.us(peer) / self.us(self.subject)

    def check_line(self):
        parts = []
        for lib, r in self.results.items():
            if "error_over_bound" in r:
                parts.append(f"{lib} ok ({r['error_over_bound']:.2g})")
            elif "failed" in r:
                parts.append(f"{lib} FAILED: {r['failed']}")
            elif libraries.base(lib) == "fastnn":
                parts.append(f"{lib} left out: {r['skip']}")
        return f"check {self.suite} {self.case.name} [{self.threads}]: " + ", ".join(parts)

    def cell(self, lib):
        r = self.results.get(lib, {})
        if "failed" in r:
            return "failed"
        if self.us(lib) is None:
            return "-"
        percent = self.percent(lib)
        return clock(self.us(lib)) + (
            "" if percent is None else f" {percent:.2g}%" if percent < 10 else f" {percent:.0f}%"
        )

    def timing_line(self):
        cells = ", ".join(f"{lib} {self.cell(lib)}" for lib in self.results if self.us(lib) is not None)
        ratio = self.ratio()
        return "  time: " + cells + ("" if ratio is None else f"; ratio {ratio:.2f} to {self.best_peer()}")

    def as_dict(self):
        return {
            "suite": self.suite,
            "isa": self.isa,
            "case": self.case.name,
            "threads": self.threads,
            "flops": self.case.flops,
            "nbytes": self.case.nbytes,
            "limit": self.limit,
            "limits": {k: {"us": s * 1e6, "limit": name} for k, (s, name) in self.limits.items()},
            "subject": self.subject,
            "best_peer": self.best_peer(),
            "ratio": self.ratio(),
            "results": {lib: dict(r, percent=self.percent(lib)) for lib, r in self.results.items()},
        }


def heading(machine, peaks):
    """The machine in two lines."""
    lines = [
        f"{machine['cpu']} (family {machine['family']} model {machine['model']}), {machine['processors']} processors, "
        + ", ".join(f"{k} {v >> 10} KB" for k, v in machine["caches"].items())
    ]
    roofs = {}
    for p in peaks:
        if p["kind"] == "fma f32":
            key = (p["threads"], "FMA GFLOP/s")
        elif p["kind"] == "read":
            key = (p["threads"], f"{p['where']} read GB/s")
        else:
            continue
        roofs[key] = max(roofs.get(key, 0), p["best"])
    for threads in sorted({t for t, _ in roofs}):
        values = ", ".join(f"{name} {v:.0f}" for (t, name), v in roofs.items() if t == threads)
        lines.append(f"{threads} thread{'s' if threads > 1 else ''}: {values}")
    if not peaks:
        lines.append("roofs not measured: neither fastnn nor build/bench/peak is there, so no percentages")
    return "\n".join(lines)


def _grid(rows, markdown):
    """Rows of strings as an aligned table."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    if markdown:
        lines = ["| " + " | ".join(r) + " |" for r in rows]
        lines.insert(1, "|" + "---|" * len(widths))
    else:
        aligned = [[r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:]))] for r in rows]
        lines = ["  ".join(r) for r in aligned]
    return "\n".join(lines) + "\n"


def in_order(rows):
    """Rows of several runs in the order that one run would have."""

    def key(row):
        names = [case.name for case in importlib.import_module(f"suites.{row.suite}").CASES]
        return row.suite, row.isa or "", row.threads, names.index(row.case.name) if row.case.name in names else -1

    return sorted(rows, key=key)


def tables(table, markdown):
    """One table a suite, and under it where fastnn is ahead and where not."""
    out = []
    for suite, isa in dict.fromkeys((row.suite, row.isa) for row in table):
        rows = [row for row in table if (row.suite, row.isa) == (suite, isa)]
        libs = list(dict.fromkeys(lib for row in rows for lib in row.results))
        libs = [lib for lib in libs if any(row.us(lib) or "failed" in row.results.get(lib, {}) for row in rows)]
        title = importlib.import_module(f"suites.{suite}").TITLE + (f", {isa.upper()} only" if isa else "")
        out.append(f"## {title}\n" if markdown else title)
        grid = [["case", "threads", "limit", *libs, "ratio"]]
        for row in rows:
            ratio, peer = row.ratio(), row.best_peer()
            cells = [row.cell(lib) for lib in libs]
            if markdown:
                fastest = min((x for x in libs if row.us(x) is not None), key=row.us, default=None)
                cells = [f"**{c}**" if lib == fastest else c for lib, c in zip(libs, cells)]
            end = "-" if ratio is None else f"{ratio:.2f} ({peer})"
            grid.append([row.case.name, str(row.threads), row.limit or "-", *cells, end])
        out.append(_grid(grid, markdown))
        out.append(_verdict(rows))
    return "\n".join(out)


def _verdict(rows):
    rated = [row for row in rows if row.ratio() is not None]
    if not rated:
        return "fastnn was not timed here.\n"
    mean = math.exp(sum(math.log(row.ratio()) for row in rated) / len(rated))
    behind = sorted((row for row in rated if row.ratio() < 1), key=lambda row: row.ratio())
    ahead = len(rated) - len(behind)
    subject = rated[0].subject
    noisy = sum(bool(r.get("disturbed")) for row in rows for r in row.results.values())
    text = f"{subject} is ahead of the best peer in {ahead} of {len(rated)} rows; geometric mean {mean:.2f}."
    if behind:
        text += " Behind: " + "; ".join(
            f"{row.case.name} [{row.threads}] {row.ratio():.2f} ({row.best_peer()})" for row in behind
        )
        text += "."
    if noisy:
        text += f" In {noisy} cells some samples were taken while other processes were busy."
    return text + "\n"


def markdown(result, table):
    """The whole report as a page."""
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    return (
        f"# fastnn and its peers, {result['date'][:10]}\n\n"
        f"{heading(result['machine'], result['peaks'])}\n\n"
        f"{versions}, Python {result['machine']['python']}.\n\n"
        "Times are medians; % is of the limit named in the row; ratio is the time of the best peer of the same\n"
        "precision over that of fastnn, so above 1 fastnn is faster.\n"
        "Made by `python bench/compare.py`.\n\n" + tables(table, markdown=True)
    )
