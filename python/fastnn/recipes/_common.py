"""What all recipes share: their options, and the folder a run writes into."""

from __future__ import annotations

import argparse
from pathlib import Path

import fastnn
from fastnn.nn import functional


def options(name: str, defaults: dict, parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """The command line of a recipe; ``defaults`` are its epochs, batch size and learning rate, if it has them.

    Recipes with mini-batches take ``--resume``, unless ``defaults`` say ``resume=False``.
    """
    parser = parser or argparse.ArgumentParser(prog=f"python -m fastnn.recipes.{name.replace('-', '_')}")
    parser.add_argument("--data-dir", metavar="DIR", help="folder with the data files (default: $FASTNN_DATA)")
    parser.add_argument("--out", metavar="DIR", default=f"runs/{name}", help="where results go (default: %(default)s)")
    if "epochs" in defaults:
        parser.add_argument("--epochs", type=positive_int, default=defaults["epochs"], help="default: %(default)s")
    if "batch_size" in defaults:
        parser.add_argument(
            "--batch-size", type=positive_int, default=defaults["batch_size"], help="default: %(default)s"
        )
    if "lr" in defaults:
        parser.add_argument(
            "--lr", type=positive_float, default=defaults["lr"], help="learning rate, default: %(default)s"
        )
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        default="cpu",
        help="where to train: cpu, cuda:0, cuda:1, ...; `fastnn info` lists the GPUs (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=defaults.get("seed", 0), help="default: %(default)s")
    parser.add_argument("--threads", type=positive_int, help="default: the processors this process may use")
    parser.set_defaults(resume=False)
    if defaults.get("resume", "batch_size" in defaults):  # recipes of some seconds write no checkpoints
        parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --out, if any")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--no-plots", action="store_true", help="draw nothing (matplotlib is not needed then)")
    return parser


def positive_int(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text}")
    return value


def positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text}")
    return value


def start(args) -> Path:
    """Set seed and threads, make the output folder and return it."""
    fastnn.manual_seed(args.seed)
    if args.threads:
        fastnn.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def save(model, out: Path, recipe: str) -> None:
    """Write the weights where ``fastnn predict`` finds them, with the recipe's name inside the file."""
    fastnn.io.save(model.state_dict(), out / "model.safetensors", {"recipe": recipe})


def descend(model, x, y, steps: int, optimizer) -> list[float]:
    """Follow the gradient of the binary cross-entropy of all examples at once; returns the cost before every step."""

    @fastnn.capture
    def step():
        optimizer.zero_grad()
        cost = functional.binary_cross_entropy_with_logits(model(x), y)
        cost.backward()
        optimizer.step()
        return cost

    return [step().item() for _ in range(steps)]


def accuracy(model, x, y) -> float:
    """Fraction right of a model with one output (a logit) or one score a class."""
    model.eval()
    with fastnn.no_grad():
        scores = model(x).cpu().numpy()
    model.train()
    predicted = scores.argmax(1) if scores.shape[1] > 1 else scores[:, 0] > 0
    return float((predicted == y.cpu().numpy().reshape(-1)).mean())


def probability(model):
    """``predict(points) -> [M]`` probability of class 1, as the decision-boundary plot wants it."""

    def predict(points):
        model.eval()
        with fastnn.no_grad():
            p = model(fastnn.as_tensor(points)).sigmoid().cpu().numpy()[:, 0]
        model.train()
        return p

    return predict
