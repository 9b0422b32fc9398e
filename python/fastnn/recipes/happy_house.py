"""happy-house: is the face at the door smiling? 64x64 photographs, as in the course's first Keras exercise.

Two convolutions with batch normalisation, ReLU and pooling, then one layer of scores for the two classes. Of the
course's 750 images 128 are here, 96 to train and 32 to test, so mirrored and moved copies have to help.

    fastnn train happy-house --data-dir DATA
    fastnn predict happy-house my_face.png
"""

from fastnn import nn
from fastnn.datasets import HappyHouse
from fastnn.models import he_init
from fastnn.recipes import _common, _vision

NAME = "happy-house"
DEFAULTS = dict(epochs=120, batch_size=16, lr=3e-3)
INPUT = (64, 64, 3)
CLASSES = HappyHouse.classes


def build_model():
    return he_init(nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(4),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * 4 * 32, 2),
    ))  # fmt: skip


def prepare(images):
    """Colour images [N, 64, 64, 3] with values 0 to 1 as a batch."""
    return _vision.batch(images, INPUT)


def main(args):
    return _vision.run(args, NAME, HappyHouse, build_model,
                       augment=_vision.moved(64, 3, mirror=True), weight_decay=0.05)  # fmt: skip


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
