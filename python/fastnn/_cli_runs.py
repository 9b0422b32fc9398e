"""The command ``fastnn runs``: runs below a folder as a table and a picture."""

from __future__ import annotations

import sys

__all__ = ["add_parser"]


def add_parser(commands) -> None:
    """Add ``runs``; nothing heavy is imported for it."""
    runs = commands.add_parser("runs", help="compare runs: fastnn runs --sort test_accuracy")
    runs.add_argument("folder", nargs="?", default="runs", metavar="DIR", help="default: %(default)s")
    runs.add_argument("--sort", metavar="COLUMN", help="best first, by this column")
    runs.add_argument("--recipe", metavar="NAME", help="only runs of this recipe")
    runs.add_argument("--all", action="store_true", help="columns that few runs have, too")
    runs.add_argument("--csv", metavar="FILE", help="write the table to a file, too")
    runs.add_argument("--plot", metavar="FILE.png", help="draw the curves of one column of the histories")
    runs.add_argument("--metric", default="val_loss", metavar="COLUMN", help="for --plot (default: %(default)s)")
    runs.set_defaults(run=run_runs)


def run_runs(args) -> int:
    from .train.runs import find_runs, plot_runs, runs_table

    damaged: list[str] = []
    runs = [r for r in find_runs(args.folder, damaged) if args.recipe in (None, r["config"].get("recipe"))]
    for problem in damaged:
        print(f"fastnn: left out: {problem}", file=sys.stderr)
    if not runs:
        print(f"no runs below {args.folder}: `fastnn train` and fastnn.train.Run leave a run.json in theirs")
        return 0
    rows = runs_table(runs, args.sort, args.all)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    if args.csv:
        import csv
        import io

        from .io import atomic_write

        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        with atomic_write(args.csv) as file:
            file.write(text.getvalue().encode())
    if args.plot:
        plot_runs(runs, args.metric, args.plot)
    return 0
