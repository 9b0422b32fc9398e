"""The recipes on strategy: each runs on little data and leaves its pictures; in full with FASTNN_TEST_FULL=1."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

from fastnn.recipes import RECIPES, _common

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
DATA = Path(os.environ.get("FASTNN_DATA", "/nonexistent"))


def train(name, out, folders, *options, **smaller):
    """The recipe's results; short of FULL, with some of its constants made `smaller`."""
    pytest.importorskip("matplotlib")
    for folder in folders:
        if not (DATA / folder).exists():
            pytest.skip(f"FASTNN_DATA has no folder {folder}")
    module = importlib.import_module(RECIPES[name].module)
    with pytest.MonkeyPatch.context() as patch:
        if not FULL:
            for key, value in smaller.items():
                patch.setattr(module, key, value)
        args = ["--out", str(out), "--quiet", *([] if FULL else options)]
        results = module.main(_common.options(name, module.DEFAULTS).parse_args(args))
    assert all(p.read_bytes()[:4] == b"\x89PNG" and p.stat().st_size > 10_000 for p in out.glob("*.png"))
    return results, {p.stem for p in out.glob("*.png")}


def test_four_diseases_are_told_and_cured(tmp_path):
    results, pictures = train("diagnose-demo", tmp_path, ("mnist", "cifar10"), "--epochs", "2", MANY=8000, SEARCH=300)
    assert results["diagnosed_right"] == 4 and results["cured"] >= (4 if FULL else 3)
    assert pictures == {"diagnoses", "mismatch", "epochs", "sizes"}


def test_mistakes_are_tagged(tmp_path):
    results, pictures = train("error-analysis-fashion", tmp_path, ("fashion_mnist",), "--epochs", "1", IMAGES=4000)
    assert results["largest_tag_share"] > 0.4 and results["dev_error"] < (0.12 if FULL else 0.35)
    assert {"tags", "mistakes", "confusion", "calibration", "roc", "precision-recall"} <= pictures
    from fastnn.strategy import ErrorTable

    table = ErrorTable.from_csv(tmp_path / "errors.csv")
    assert len(table.rows) == 100 and table.error == pytest.approx(results["dev_error"])


def test_sharing_a_trunk(tmp_path):
    results, pictures = train("multi-task", tmp_path, ("fashion_mnist",), "--epochs", "1", PICTURES=(300,), TEST=200,
                              WIDTHS={"wide": 4})  # fmt: skip
    assert all(0 < v < 1 for v in results.values()) and pictures == {"when-it-helps", "questions"}
    if FULL:
        assert results["wide_3000_together"] > results["wide_3000_apart"]


def test_a_domain_without_labels(tmp_path):
    results, pictures = train(
        "domain-adaptation", tmp_path, ("mnist", "cifar10"), "--epochs", "1", IMAGES=1500, TEST=500
    )
    assert results["target_labels_on_target_accuracy"] > results["source_only_on_target_accuracy"]
    assert pictures == {"domains", "target-accuracy", "features"}
    if FULL:
        assert results["adversary_on_target_accuracy"] > results["source_only_on_target_accuracy"]


def test_pipeline_and_end_to_end(tmp_path):
    results, pictures = train("pipeline-vs-end-to-end", tmp_path, ("mnist", "cifar10"), "--epochs", "1",
                              PAIRS=(300,), PARTS=1000, TEST=500)  # fmt: skip
    assert results["reader_alone_accuracy"] > 0.2 and pictures == {"accuracy", "scenes"}
    if FULL:
        assert results["pipeline_accuracy"] > results["end_to_end_300_accuracy"]


def test_backgrounds_of_dev_and_training_are_different():
    if not all((DATA / f).exists() for f in ("mnist", "cifar10")):
        pytest.skip("FASTNN_DATA has no folder mnist or cifar10")
    from fastnn.recipes import diagnose_demo as demo

    args = _common.options("diagnose-demo", demo.DEFAULTS).parse_args([])
    digits = demo.Digits(args)
    rows = {part: set(digits.parts[part][1].tolist()) for part in digits.parts}
    assert not rows["train"] & rows["train_dev"] and not rows["dev"] & rows["test"]
    x, y = digits("dev", 5, photos=True)
    plain, same = digits("dev", 5)
    assert (y == same).all() and (x >= plain - 1e-6).all() and np.isfinite(x).all()
