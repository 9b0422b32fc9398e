"""The recipe cifar-resnet20 in PyTorch: the same initial weights, batches, augmentation, optimiser and schedule.

    python bench/twin_cifar_resnet20.py --data-dir DATA --seed 0

prints the test accuracy, to set beside that of ``fastnn train cifar-resnet20``. The two runs agree for the first steps
to rounding; later the rounding grows, so end results differ as those of two seeds do.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import fastnn
from fastnn import convert, optim
from fastnn.datasets import CIFAR10
from fastnn.recipes import _common, _vision, cifar_resnet20


class Block(nn.Module):
    """Two 3x3 convolutions; the shortcut takes every second position and pads channels with zeros (He et al., A)."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)
        self.stride, self.extra = stride, c_out - c_in

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.extra:
            before = self.extra // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """The network of `fastnn.models.resnet20`, with its names."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = ((16, 16), (16, 32), (32, 64))
        for i, (a, b) in enumerate(widths, 1):
            blocks = [Block(a, b, 1 if a == b else 2), Block(b, b, 1), Block(b, b, 1)]
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def pictures(x):
    """A batch of the recipe as PyTorch's [N, C, H, W] in memory of channels last."""
    return torch.from_numpy(x.numpy()).permute(0, 3, 1, 2)


def train(args, steps=None):
    """(loss of every step, test accuracy); ``steps`` ends earlier, without accuracy."""
    fastnn.manual_seed(args.seed)
    data = [CIFAR10(train=part, data_dir=args.data_dir) for part in (True, False)]
    mine = cifar_resnet20.build_model()
    sgd = lambda params, lr: optim.SGD(params, lr=lr, momentum=0.9, weight_decay=cifar_resnet20.WEIGHT_DECAY)  # noqa: E731
    trainer, loader, test = _vision.trainer_of(args, mine, *data, cifar_resnet20.AUGMENT, cifar_resnet20.prepare, sgd)

    model = ResNet20().to(memory_format=torch.channels_last)
    state = {k: torch.from_numpy(v) for k, v in convert.to_torch(mine).items()}
    model.load_state_dict(state)
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=cifar_resnet20.WEIGHT_DECAY)
    losses = []
    for epoch in range(args.epochs):
        start = time.perf_counter()
        for x, y in loader:
            # The recipe's schedule gives the rates; its own optimiser takes no step.
            optimizer.param_groups[0]["lr"] = float(trainer.optimizer.param_groups[0]["lr"])
            loss = F.cross_entropy(model(pictures(x)), torch.from_numpy(y.numpy()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            trainer.scheduler.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses, None
        if not args.quiet:
            mean = np.mean(losses[-len(loader) :])
            print(f"epoch {epoch + 1}: loss {mean:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    model.eval()
    with torch.no_grad():
        right = sum(int((model(pictures(x)).argmax(1).numpy() == y.numpy()).sum()) for x, y in test)
    return losses, right / len(data[1])


def options():
    return _common.options(cifar_resnet20.NAME, cifar_resnet20.DEFAULTS)


def main(args: argparse.Namespace):
    args.folder = _common.start(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    losses, accuracy = train(args)
    return {"test_accuracy": accuracy, "last_loss": float(np.mean(losses[-100:]))}


if __name__ == "__main__":
    print(main(options().parse_args()))
