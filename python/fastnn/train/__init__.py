"""Training: the loop, checkpoints that lose nothing, early stopping, curves and the course's gradient check.

>>> trainer = Trainer(model, loss, optimizer, metrics=["accuracy"], checkpoint="run.safetensors")
>>> history = trainer.fit(train_loader, val_loader, epochs=20, resume="auto")
>>> history.plot("curves.png")
"""

from .averaging import AverageWeights, Ensemble, MaxNorm, Snapshots
from .callbacks import Callback, EarlyStopping, LambdaCallback, SaveBest
from .checkpoint import load_checkpoint, load_weights, save_checkpoint
from .gradient_check import GradientCheck, gradient_check
from .history import History
from .insight import LayerReport, LearningRates, layer_report, lr_range_test
from .progress import Progress
from .report import write_report
from .runs import find_runs, plot_runs, runs_table
from .tracking import CSVLogger, JSONLinesLogger, Run, TensorBoardLogger
from .trainer import Trainer, fit

__all__ = [
    "AverageWeights", "CSVLogger", "Callback", "EarlyStopping", "Ensemble", "GradientCheck", "History",
    "JSONLinesLogger", "LambdaCallback", "LayerReport", "LearningRates", "MaxNorm", "Progress", "Run", "SaveBest",
    "Snapshots", "TensorBoardLogger", "Trainer", "find_runs", "fit", "gradient_check", "layer_report",
    "load_checkpoint", "load_weights", "lr_range_test", "plot_runs", "runs_table", "save_checkpoint", "write_report",
]  # fmt: skip
