"""cnn-fashion: a small convolutional network recognises clothes, 28x28 grey, of ten kinds.

Two pairs of 3x3 convolutions with batch normalisation, pooling after each pair, dropout. Pictures are shown mirrored
and moved by a pixel: a shoe that points left is a shoe.

    fastnn train cnn-fashion --data-dir DATA     (without it the files are downloaded once)
    fastnn predict cnn-fashion my_shirt.png
"""

from fastnn import nn
from fastnn.datasets import FashionMNIST
from fastnn.models import he_init
from fastnn.recipes import _common, _vision

NAME = "cnn-fashion"
DEFAULTS = dict(epochs=8, batch_size=128, lr=4e-3)
INPUT = (28, 28)
CLASSES = FashionMNIST.classes


def build_model():
    return he_init(nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(7 * 7 * 32, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10),
    ))  # fmt: skip


def prepare(images):
    """Grey images [N, 28, 28] with values 0 (background) to 1 (cloth) as a batch."""
    return _vision.batch(images, (28, 28, 1))


def main(args):
    return _vision.run(args, NAME, FashionMNIST, build_model, augment=_vision.moved(28, 1, mirror=True))


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
