"""Metrics as functions of all predictions, and as objects that are fed batch by batch."""

from .functional import (
    accuracy,
    by_slice,
    confusion_matrix,
    error_rate,
    f1_score,
    fbeta_score,
    mean_absolute_error,
    mean_squared_error,
    precision,
    recall,
    top_k_accuracy,
)
from .inference import (
    Interval,
    PairedTest,
    bootstrap_interval,
    examples_needed,
    mcnemar,
    paired_bootstrap,
    wilson_interval,
)
from .ranking import (
    auc,
    average_precision,
    brier_score,
    calibration_curve,
    expected_calibration_error,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from .streaming import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    OfTask,
    Precision,
    Recall,
    get_metric,
)

__all__ = [
    "Accuracy", "ConfusionMatrix", "F1", "Interval", "Mean", "MeanAbsoluteError", "MeanSquaredError", "Metric",
    "OfTask", "PairedTest", "Precision", "Recall", "accuracy", "auc", "average_precision", "bootstrap_interval",
    "brier_score", "by_slice", "calibration_curve", "confusion_matrix", "error_rate", "examples_needed",
    "expected_calibration_error", "f1_score", "fbeta_score", "get_metric", "mcnemar", "mean_absolute_error",
    "mean_squared_error", "paired_bootstrap", "precision", "precision_recall_curve", "recall", "roc_auc", "roc_curve",
    "top_k_accuracy", "wilson_interval",
]  # fmt: skip
