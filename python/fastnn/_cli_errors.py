"""The command ``fastnn errors``: a table of misclassified examples, filled in from the command line."""

from __future__ import annotations

__all__ = ["add_parser"]


def add_parser(commands) -> None:
    """Add ``errors`` with its own commands new, tag and show; nothing heavy is imported for it."""
    errors = commands.add_parser("errors", help="look at mistakes, tag them, see what mending them would win")
    verbs = errors.add_subparsers(metavar="VERB", required=True)

    new = verbs.add_parser("new", help="collect the mistakes of a dev set into a table")
    new.add_argument("table", metavar="TABLE.csv")
    new.add_argument("--scores", required=True, metavar="FILE.npy", help="probabilities or logits [N, C], or class ids")
    new.add_argument("--labels", required=True, metavar="FILE.npy", help="true class ids [N]")
    new.add_argument("--classes", metavar="A,B,...", help="names of the classes")
    new.add_argument("--limit", type=int, default=100, help="a random sample of so many, 0 for all (%(default)s)")
    new.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    new.add_argument("--force", action="store_true", help="write over a table that is there, with its tags")
    new.set_defaults(run=run_new)

    tag = verbs.add_parser("tag", help="put tags on mistakes: fastnn errors tag errors.csv 12,40 blurry dog")
    tag.add_argument("table", metavar="TABLE.csv")
    tag.add_argument("index", metavar="INDEX[,INDEX...]", help="positions in the dev set")
    tag.add_argument("tags", metavar="TAG", nargs="*")
    tag.add_argument("--comment", help="a remark for these rows")
    tag.add_argument("--remove", action="store_true", help="take the tags off (all of them if none is named)")
    tag.set_defaults(run=run_tag)

    show = verbs.add_parser("show", help="the share of each tag, and the error there would be without it")
    show.add_argument("table", metavar="TABLE.csv")
    show.add_argument("--wrong-labels", metavar="TAG", default="incorrectly labelled",
                      help="the tag of examples whose label is wrong (default: %(default)s)")  # fmt: skip
    show.add_argument("--difference", type=float, help="difference in error between the models to choose from")
    show.add_argument("--rows", action="store_true", help="every row, too")
    show.add_argument("--plot", metavar="FILE.png", help="draw what each tag could win")
    show.set_defaults(run=run_show)


def run_new(args) -> int:
    import os

    from .strategy import collect_errors

    if os.path.exists(args.table) and not args.force:
        raise FileExistsError(f"{args.table} is there, perhaps with tags; another name, or --force to write over it")
    scores, labels = _array(args.scores), _array(args.labels)
    if scores.ndim == 2 and labels.size and not (0 <= labels.min() and labels.max() < scores.shape[1]):
        raise ValueError(
            f"{args.labels}: labels from {labels.min()} to {labels.max()} do not fit {scores.shape[1]} scores each"
        )
    classes = args.classes.split(",") if args.classes else None
    table = collect_errors(scores, labels, classes, args.limit or None, args.seed)
    table.to_csv(args.table)
    print(f"{args.table}: {len(table.rows)} of {table.errors} mistakes in {table.examples} examples")
    return 0


def run_tag(args) -> int:
    from .cli import UsageError
    from .strategy import ErrorTable

    try:
        indices = [int(i) for i in args.index.split(",")]
    except ValueError:
        raise UsageError(f"expected positions such as 12 or 12,40, got '{args.index}'") from None
    if not args.tags and args.comment is None and not args.remove:
        raise UsageError("name at least one tag, or give --comment")
    table = ErrorTable.from_csv(args.table)
    if args.remove:
        table.untag(indices, *args.tags)
    table.tag(indices, *(() if args.remove else args.tags), comment=args.comment)
    table.to_csv(args.table)
    for i in indices:
        row = next(r for r in table.rows if r.index == i)
        print(f"{i}: {', '.join(row.tags) or 'no tag'}{f' ({row.comment})' if row.comment else ''}")
    return 0


def run_show(args) -> int:
    from .strategy import ErrorTable

    table = ErrorTable.from_csv(args.table)
    print(table)
    if args.wrong_labels in table.tags:
        print(table.label_impact(args.wrong_labels, args.difference))
    if args.rows:
        for r in table.rows:
            print(
                f"{r.index:>8}  {r.true} taken for {r.predicted} ({r.confidence:.0%})  {', '.join(r.tags)}  {r.comment}"
            )
    if args.plot:
        table.plot(args.plot)
        print(f"drawn: {args.plot}")
    return 0


def _array(path):
    import numpy as np

    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except (ValueError, EOFError, OSError):
        raise ValueError(f"{path} is not an array in a .npy file") from None
