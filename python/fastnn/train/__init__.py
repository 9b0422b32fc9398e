"""Training: the loop, checkpoints that lose nothing, early stopping, curves and the course's gradient check.

>>> trainer = Trainer(model, loss, optimizer, metrics=["accuracy"], checkpoint="run.safetensors")
>>> history = trainer.fit(train_loader, val_loader, epochs=20, resume="auto")
>>> history.plot("curves.png")
"""

from .callbacks import Callback, EarlyStopping, LambdaCallback, SaveBest
from .checkpoint import load_checkpoint, load_weights, save_checkpoint
from .gradient_check import GradientCheck, gradient_check
from .history import History
from .progress import Progress
from .trainer import Trainer, fit

__all__ = [
    "Callback", "EarlyStopping", "GradientCheck", "History", "LambdaCallback", "Progress", "SaveBest", "Trainer", "fit",
    "gradient_check", "load_checkpoint", "load_weights", "save_checkpoint",
]  # fmt: skip
