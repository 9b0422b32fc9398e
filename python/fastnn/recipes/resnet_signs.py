"""resnet-signs: a residual network reads the digits 0 to 5 from photographs of hands, 64x64.

The course trains a ResNet-50 of 23 million parameters on these 1,080 hands; 20 layers and 270,000 parameters do as
well. Hands are shown moved by up to six pixels and mirrored (a left hand shows the same digit).

    fastnn train resnet-signs --data-dir DATA
    fastnn predict resnet-signs my_hand.png
"""

from fastnn import models, nn
from fastnn.datasets import Signs
from fastnn.recipes import _common, _vision

NAME = "resnet-signs"
DEFAULTS = dict(epochs=25, batch_size=32, lr=3e-3)
INPUT = (64, 64, 3)
CLASSES = Signs.classes


def build_model():
    # Pooled to 32x32 first: a hand of 64 pixels shows its fingers there as well, for a quarter of the work.
    return nn.Sequential(nn.AvgPool2d(2), models.resnet20(num_classes=6))


def prepare(images):
    """Colour images [N, 64, 64, 3] with values 0 to 1 as a batch."""
    return _vision.batch(images, INPUT)


def main(args):
    return _vision.run(args, NAME, Signs, build_model, augment=_vision.moved(64, 6, mirror=True), weight_decay=0.02)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
