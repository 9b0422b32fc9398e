"""The command ``fastnn``: list and train recipes, ask a trained one, analyse errors, describe this installation.

Exit codes: 0 done, 1 it failed (missing data, damaged file, training stopped), 2 the command was wrong. Everything
heavy is imported by the command that needs it, so that ``fastnn --help`` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import shutil
import sys
import textwrap
import time

from ._cli_errors import add_parser as add_errors_parser
from ._cli_runs import add_parser as add_runs_parser
from .recipes import RECIPES

OK, FAILED, WRONG = 0, 1, 2


class UsageError(Exception):
    """The command was wrong; the text says how to mend it."""


def main(argv: list[str] | None = None) -> int:
    """Run a command line (default: this process's) and return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = _parser(argv).parse_args(argv)
        return args.run(args)
    except SystemExit as e:  # argparse: --help and wrong arguments
        return e.code if isinstance(e.code, int) else WRONG
    except UsageError as e:
        return _complain(e, WRONG)
    except KeyboardInterrupt:
        return _complain("stopped", FAILED)
    except BrokenPipeError:  # the reader of our output left: fastnn list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ImportError, OSError, ValueError, IndexError, KeyError, TypeError, ArithmeticError, MemoryError) as e:
        if os.environ.get("FASTNN_DEBUG"):
            raise
        return _complain(e.args[0] if isinstance(e, KeyError) and e.args else e, FAILED)


def _complain(message, code: int) -> int:
    print(f"fastnn: {' '.join(str(message).split()) or type(message).__name__}", file=sys.stderr)
    return code


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastnn", description="Neural networks in one small wheel.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    listing = commands.add_parser("list", help="what can be trained with one command")
    listing.set_defaults(run=run_list)

    # The options of `train` are the recipe's own, so the recipe is looked at before the arguments are parsed.
    name = _first_word(argv[1:]) if argv[:1] == ["train"] else None
    train = commands.add_parser("train", help="train a recipe: fastnn train digits", prog=_prog("train", name))
    train.add_argument("name", metavar="NAME", help="a name from `fastnn list`")
    if name:
        from .recipes import _common

        module = _recipe_module(name)
        train.description = module.__doc__
        train.formatter_class = argparse.RawDescriptionHelpFormatter
        _common.options(name, module.DEFAULTS, train)
    train.set_defaults(run=run_train)

    predict = commands.add_parser("predict", help="ask a trained model: fastnn predict digits image.png")
    predict.add_argument("model", metavar="NAME|FILE", help="a recipe (its weights in runs/NAME) or a file of weights")
    predict.add_argument("input", metavar="INPUT", help="an image, a .npy array, or a .csv table, one example a row")
    predict.add_argument("--recipe", help="the recipe a FILE without its own note belongs to")
    predict.add_argument("--out", metavar="DIR", help="the folder NAME was trained into (default: runs/NAME)")
    predict.add_argument("--top", type=int, default=3, help="classes shown for each example (default: %(default)s)")
    predict.set_defaults(run=run_predict)

    add_errors_parser(commands)
    add_runs_parser(commands)

    info = commands.add_parser("info", help="version, instruction set, threads; --peaks measures the machine")
    info.add_argument("--peaks", action="store_true", help="measure arithmetic peak and bandwidths (some seconds)")
    info.add_argument("--seconds", type=float, default=8.0, help="for --peaks (default: %(default)s)")
    info.set_defaults(run=run_info)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        import fastnn

        print(f"fastnn {fastnn.__version__}")
        parser.exit(OK)


def _prog(command: str, name: str | None) -> str:
    return f"fastnn {command} {name}" if name else f"fastnn {command}"


def _first_word(argv: list[str]) -> str | None:
    """The recipe's name: the first word that is one, since a word before it may be an option's value; else any word."""
    words = [a for a in argv if not a.startswith("-")]
    return next((w for w in words if w in RECIPES), words[0] if words else None)


def _recipe(name: str):
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), RECIPES, 1, 0.4)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise UsageError(f"there is no recipe '{name}'{hint} (fastnn list shows all)")
    return RECIPES[name]


def _recipe_module(name: str):
    return importlib.import_module(_recipe(name).module)


# --- list ---------------------------------------------------------------------------------------------------------


def run_list(args) -> int:
    rows = [("NAME", "TASK", "EXPECTED", "TIME", "DATA"), *((r[0], r[1], r[3], r[4], r[2]) for r in RECIPES.values())]
    names = max(len(row[0]) for row in rows)
    columns = max(shutil.get_terminal_size((100, 24)).columns, 60)
    for name, *rest in rows:  # the name alone in its column, the rest as wide as the terminal
        print(textwrap.fill(f"{name.ljust(names)}  {'; '.join(rest)}", columns, subsequent_indent=" " * (names + 2)))
    print("\nfastnn train NAME trains one; fastnn train NAME --help shows its options.")
    return OK


# --- train --------------------------------------------------------------------------------------------------------


def run_train(args) -> int:
    from .train import Run

    module = _recipe_module(args.name)
    start = time.perf_counter()
    apart = ("run", "name", "out", "seed", "quiet", "resume", "no_plots", "threads", "data_dir")
    config = {"recipe": args.name, **{k: v for k, v in vars(args).items() if k not in apart}}
    if args.resume:
        _check_resume(args, config)
    with _device(args.device):
        run = Run(args.out, config, args.seed, args.name)
        results = _train(module, args, run)
    _keep_history(run)
    run.finish(results)
    print(f"{args.name}: finished in {time.perf_counter() - start:.1f} s")
    for key, value in results.items():
        share = isinstance(value, float) and any(word in key for word in ("accuracy", "test_", "train_")) and value <= 1
        text = f"{value:.2%}" if share else f"{value:.4g}" if isinstance(value, float) else str(value)
        print(f"  {key.replace('_', ' '):<24} {text}")
    print(f"  {'results in':<24} {args.out}")
    return OK


def _train(module, args, run) -> dict:
    try:
        return module.main(args)
    except BaseException as error:
        run.finish(status="interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise


def _device(name: str):
    """The default device of a run, as a context; UsageError where there is none."""
    import fastnn

    try:
        device = fastnn.device(name)
        if device.type == "cuda":
            fastnn.cuda.get_device_properties(device)
    except (ValueError, fastnn.DeviceError) as error:
        raise UsageError(f"--device: {error}") from None
    return device


def _check_resume(args, config) -> None:
    """A run goes on with the settings it was begun with; other ones would be on record without being used."""
    from .train.tracking import Run, read_run

    if not os.path.exists(os.path.join(args.out, Run.FILE)):
        return
    earlier = read_run(args.out)
    before = {**earlier["config"], "seed": earlier.get("seed")}
    for key, value in {**config, "seed": args.seed}.items():
        if key not in ("epochs", "device") and key in before and before[key] != value:
            raise UsageError(
                f"--resume goes on with {key.replace('_', ' ')} {before[key]}, as {args.out} was begun, not with "
                f"{value}: leave the option out, or begin anew without --resume"
            )


def _keep_history(run) -> None:
    """The curves of a recipe that trains with checkpoints, beside its record, for `fastnn runs --plot`."""
    from .train import History, load_checkpoint
    from .train.tracking import write_history

    file = run.folder / "checkpoint.safetensors"
    if file.exists():
        history = History(load_checkpoint(file).get("history", {}))
        if history:
            run.record["epochs"] = history.epochs
            write_history(history, run.folder)


# --- predict ------------------------------------------------------------------------------------------------------


def run_predict(args) -> int:
    recipe, path = _weights_of(args)
    _recipe(recipe)
    if not RECIPES[recipe].takes:
        able = [r.name for r in RECIPES.values() if r.takes]
        raise UsageError(f"the recipe '{recipe}' makes no predictions; those that do: {', '.join(able)}")
    if args.top < 1:
        raise UsageError(f"--top expects a number >= 1, got {args.top}")
    from .recipes import _predict

    for line in _predict.predict(_recipe_module(recipe), path, args.input, args.top):
        print(line)
    return OK


def _weights_of(args) -> tuple[str, str]:
    """(recipe, file of weights) that the command names."""
    if args.model in RECIPES:
        path = os.path.join(args.out or os.path.join("runs", args.model), "model.safetensors")
        if not os.path.exists(path):
            raise FileNotFoundError(f"{path} is not there: train first (fastnn train {args.model}) or give --out")
        return args.recipe or args.model, path
    if not os.path.exists(args.model):
        near = difflib.get_close_matches(args.model, RECIPES, 1, 0.4)
        hint = f"; did you mean the recipe '{near[0]}'?" if near else ""
        raise UsageError(f"'{args.model}' is neither a recipe nor a file{hint}")
    from .io import read_metadata

    path = os.path.join(args.model, "model.safetensors") if os.path.isdir(args.model) else args.model
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path} is not there: train into this folder first (fastnn train NAME --out {args.model})"
        )
    noted = read_metadata(path).get("recipe")
    if noted and args.recipe and noted != args.recipe:
        raise UsageError(f"'{path}' holds weights of the recipe '{noted}', not of '{args.recipe}'")
    if not (noted or args.recipe):
        raise UsageError(f"'{path}' does not say which recipe it belongs to; add --recipe NAME")
    return noted or args.recipe, path


# --- info ---------------------------------------------------------------------------------------------------------


def _cuda_state() -> str:
    from fastnn import cuda

    if not cuda.is_available():
        return f"no: {cuda.why_not()}"
    devices = [cuda.get_device_properties(f"cuda:{i}") for i in range(cuda.device_count())]
    return ", ".join(f"{p['name']} (sm_{p['major']}{p['minor']}, {p['total_memory'] >> 20} MiB)" for p in devices)


def run_info(args) -> int:
    import platform

    import numpy

    import fastnn
    from fastnn import _C

    rows = [
        ("fastnn", fastnn.__version__),
        ("Python, NumPy", f"{platform.python_version()}, {numpy.__version__}"),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("instruction set", f"{fastnn.isa()} in use, {fastnn.isa_found()} found"),
        ("threads", str(fastnn.get_num_threads())),
        *((key, value) for key, value in _C._build_options().items()),
        ("operations", str(len(_C.OPS))),
        ("CUDA", _cuda_state()),
        ("module", _C.__file__),
    ]
    for key, value in rows:
        print(f"{key:<18} {value}")
    if args.peaks:
        if not args.seconds > 0:
            raise UsageError(f"--seconds expects a number > 0, got {args.seconds}")
        print("\nmeasured peaks (best, median):")
        for row in fastnn.measure_peaks(args.seconds):
            threads = f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}"
            what = f"{row['kind']}, {row['where']}"
            print(f"  {what:<28} {threads:<10} {row['best']:8.1f} {row['median']:8.1f} {row['unit']}")
    return OK


if __name__ == "__main__":
    sys.exit(main())
