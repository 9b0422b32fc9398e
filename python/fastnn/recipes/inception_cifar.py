"""inception-cifar: five Inception modules recognise photographs of ten kinds, 32x32.

Filters of 1x1, 3x3 and 5x5 and a pooling side by side, the larger ones behind 1x1 bottlenecks: GoogLeNet in small, with
batch normalisation behind every module.

    fastnn train inception-cifar --data-dir DATA
    fastnn predict inception-cifar my_dog.png
"""

from fastnn import nn
from fastnn.datasets import CIFAR10
from fastnn.models import Inception, he_init
from fastnn.recipes import _common, _vision
from fastnn.recipes.cifar_resnet20 import AUGMENT, CLASSES, INPUT, prepare

__all__ = ["CLASSES", "DEFAULTS", "INPUT", "build_model", "main", "prepare"]

NAME = "inception-cifar"
DEFAULTS = dict(epochs=12, batch_size=64, lr=4e-3)


def block(*widths):
    """An Inception module (input, 1x1, bottleneck and 3x3, bottleneck and 5x5, behind the pooling), normalised."""
    module = Inception(*widths)
    return nn.Sequential(module, nn.BatchNorm2d(module.out_channels))


def build_model():
    return he_init(nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        block(32, 16, 16, 24, 4, 8, 8), nn.MaxPool2d(3, 2, 1),
        block(56, 32, 32, 48, 8, 16, 16), block(112, 32, 32, 64, 8, 16, 16), nn.MaxPool2d(3, 2, 1),
        block(128, 48, 48, 96, 12, 24, 24), block(192, 64, 64, 128, 16, 32, 32),
        nn.GlobalAvgPool(), nn.Dropout(0.2), nn.Linear(256, 10),
    ))  # fmt: skip


def main(args):
    return _vision.run(args, NAME, CIFAR10, build_model, augment=AUGMENT, prepare=prepare, weight_decay=0.02)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
