"""fashion-mlp: the network of mnist-mlp recognises ten kinds of clothes (Fashion-MNIST).

The same program on other data: nothing but the data set changes.

    fastnn train fashion-mlp --data-dir DATA     (without it the files are downloaded once)
    fastnn predict fashion-mlp my_shirt.png
"""

from fastnn.datasets import FashionMNIST
from fastnn.recipes import _common, mnist_mlp
from fastnn.recipes.mnist_mlp import INPUT, build_model, prepare

__all__ = ["CLASSES", "DEFAULTS", "INPUT", "NAME", "build_model", "main", "prepare"]

NAME = "fashion-mlp"
DEFAULTS = dict(epochs=18, batch_size=128, lr=1.5e-3)
CLASSES = FashionMNIST.classes


def main(args):
    return mnist_mlp.main(args, FashionMNIST, NAME)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
