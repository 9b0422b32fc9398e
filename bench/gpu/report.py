"""Rows, and the two files they end in.

A row is a dict with ``name`` and, where it applies: ``value`` and ``unit``; ``peer``, ``peer_value`` and ``ratio``
(more is better); ``target`` in words; ``ok`` (True, False, None where nothing is promised); ``note``.
"""

import json
import platform
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What a part is told."""

    part: str
    tiny: bool
    share: int
    shares: int
    deadline: float

    def mine(self, items):
        """Every `shares`-th item, while there is time."""
        for i, item in enumerate(items):
            if i % self.shares == self.share:
                if self.late():
                    return
                yield item

    def late(self):
        return time.monotonic() > self.deadline


class Report:
    """Gathers rows; written anew after every stage, so that a run that is stopped leaves what it found."""

    def __init__(self, folder, tiny):
        self.folder, self.tiny, self.rows, self.seconds = folder, tiny, [], None
        self.machine = {"host": platform.platform(), "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}

    def add(self, part, row):
        if self.tiny and str(row.get("target", "")).startswith(">="):
            row = {**row, "ok": None}  # a speed, of sizes that show none
        self.rows.append({"part": part, **row})

    def add_lines(self, part, text):
        for line in text.splitlines():
            try:
                self.add(part, json.loads(line))
            except ValueError:  # cut off by the time limit
                continue

    def fail(self, part, name, why):
        self.add(part, {"name": name, "ok": False, "note": " ".join(str(why).split())[:300]})

    def write(self):
        data = {"machine": self.machine, "tiny": self.tiny, "seconds": self.seconds, "rows": self.rows}
        (self.folder / "report.json").write_text(json.dumps(data, indent=1))
        (self.folder / "report.md").write_text(self.table())

    def table(self):
        device = self.machine.get("device") or {}
        lines = [
            f"# fastnn on {device.get('name', 'no device')}{' (tiny sizes: times mean nothing)' if self.tiny else ''}",
            "",
            *(f"- {key}: {value}" for key, value in self.machine.items() if value is not None),
            *([f"- took {self.seconds:.0f} s"] if self.seconds else []),
            "",
            "| part | what | value | peer | ratio | target | |",
            "|---|---|---:|---:|---:|---|---|",
        ]
        for row in self.rows:
            value = _number(row.get("value"), row.get("unit"))
            peer = f"{row['peer']} {_number(row.get('peer_value'), row.get('unit'))}" if row.get("peer") else ""
            ratio = f"{row['ratio']:.2f}" if row.get("ratio") is not None else ""
            mark = {True: "ok", False: "**FAILED**", None: ""}[row.get("ok")]
            notes = f"{mark} {row.get('note', '')}".strip().replace("|", "/")
            lines.append(
                f"| {row['part']} | {row['name']} | {value} | {peer} | {ratio} | {row.get('target', '')} | {notes} |"
            )
        return "\n".join(lines) + "\n"

    def end(self, seconds):
        """Writes the files, prints the table; 1 where a row failed."""
        self.seconds = seconds
        self.write()
        print(self.table())
        failed = [row for row in self.rows if row.get("ok") is False]
        print(f"{len(self.rows)} rows, {len(failed)} failed, {seconds:.0f} s; {self.folder / 'report.json'}")
        return 1 if failed else 0


def _number(value, unit):
    if value is None:
        return ""
    text = f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:.0f}"
    return f"{text} {unit}".strip() if unit else text
