"""lenet-mnist: LeNet-5 reads handwritten digits.

The network of 1998 with today's parts: ReLU for tanh, maxima for means, AdamW.
Digits are shown moved by up to two pixels.

    fastnn train lenet-mnist --data-dir DATA     (without it the files are downloaded once)
    fastnn predict lenet-mnist my_digit.png
"""

from fastnn import models
from fastnn.datasets import MNIST
from fastnn.recipes import _common, _vision

NAME = "lenet-mnist"
DEFAULTS = dict(epochs=10, batch_size=64, lr=4e-3)
INPUT = (28, 28)
CLASSES = MNIST.classes


def build_model():
    return models.LeNet5(input_shape=(28, 28, 1), activation="relu", pool="max", padding=2)


def prepare(images):
    """Grey images [N, 28, 28] with values 0 (background) to 1 (ink) as a batch."""
    return _vision.batch(images, (28, 28, 1))


def main(args):
    return _vision.run(args, NAME, MNIST, build_model, augment=_vision.moved(28, 2))


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
