"""cifar-resnet20: the residual network of 20 layers and 270,000 parameters on photographs of ten kinds, 32x32.

The recipe of He et al. (2015), shortened: SGD with momentum, images mirrored and cut at a random place out of a border
of four pixels. On the 10,000 images of the subset here; the learning rate rises for a tenth of the run, then falls as
a cosine. ``bench/twin_cifar_resnet20.py`` trains the same network on the same batches with PyTorch: 74.6 % of the test
images (seed 0), here 75.5 and 75.2 % (seeds 0 and 1).

    fastnn train cifar-resnet20 --data-dir DATA
    fastnn predict cifar-resnet20 my_dog.png
"""

from functools import partial

import numpy as np

from fastnn import models, optim
from fastnn.datasets import CIFAR10
from fastnn.recipes import _common, _vision
from fastnn.vision import transforms as T

NAME = "cifar-resnet20"
DEFAULTS = dict(epochs=20, batch_size=64, lr=0.1)
INPUT = (32, 32, 3)
CLASSES = CIFAR10.classes
AUGMENT = T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(32, padding=4)])  # the border is 0: the mean colour
WEIGHT_DECAY = 5e-4


def build_model():
    return models.resnet20()


def prepare(images):
    """Colour images [N, 32, 32, 3] with values 0 to 1 as a batch, each colour with mean 0 and deviation 1."""
    mean, std = (np.array(a, np.float32) for a in (CIFAR10.mean, CIFAR10.std))
    return _vision.batch((np.asarray(images, np.float32).reshape(-1, *INPUT) - mean) / std, INPUT)


def main(args):
    sgd = partial(optim.SGD, momentum=0.9, weight_decay=WEIGHT_DECAY)
    return _vision.run(args, NAME, CIFAR10, build_model, augment=AUGMENT, prepare=prepare, optimizer=sgd)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
