"""Metrics as functions of all predictions, and as objects that are fed batch by batch."""

from .functional import (
    accuracy,
    confusion_matrix,
    f1_score,
    fbeta_score,
    mean_absolute_error,
    mean_squared_error,
    precision,
    recall,
    top_k_accuracy,
)
from .streaming import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    Precision,
    Recall,
    get_metric,
)

__all__ = [
    "Accuracy", "ConfusionMatrix", "F1", "Mean", "MeanAbsoluteError", "MeanSquaredError", "Metric", "Precision",
    "Recall", "accuracy", "confusion_matrix", "f1_score", "fbeta_score", "get_metric", "mean_absolute_error",
    "mean_squared_error", "precision", "recall", "top_k_accuracy",
]  # fmt: skip
