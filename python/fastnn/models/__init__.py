"""Image networks of the course, channels last, with exact parameter counts.

Constructors take ``num_classes`` and, where the size matters, ``input_shape=(H, W, C)``; networks that end in a global
average take ``in_channels`` and any height and width. Outputs are scores; a softmax belongs to the loss.
"""

from ._build import he_init, output_size
from .classic import VGG, AlexNet, CourseConvNet, CourseLeNet, LeNet5, SlidingNet, vgg11, vgg13, vgg16, vgg19
from .compact import Fire, MobileNetV1, NetworkInNetwork, SqueezeNet
from .ensemble import ensemble_predict
from .inception import AuxiliaryHead, GoogLeNet, Inception, googlenet_loss
from .pretrained import imagenet_batch, load_squeezenet
from .resnet import (
    BasicBlock,
    Bottleneck,
    CifarResNet,
    ResNet,
    plain20,
    plain56,
    resnet18,
    resnet20,
    resnet32,
    resnet34,
    resnet50,
    resnet56,
    resnet101,
    resnet152,
)
from .table import LayerCost, count_multiplications, count_parameters, layer_table
from .transfer import (
    GradualUnfreezing,
    LoadReport,
    cached_features,
    discriminative_groups,
    freeze,
    layer_stages,
    load_by_name,
    replace_head,
    unfreeze,
)
from .windows import every_window, fc_to_conv

__all__ = [
    "AlexNet", "AuxiliaryHead", "BasicBlock", "Bottleneck", "CifarResNet", "CourseConvNet", "CourseLeNet", "Fire",
    "GoogLeNet", "GradualUnfreezing", "Inception", "LayerCost", "LeNet5", "LoadReport", "MobileNetV1",
    "NetworkInNetwork", "ResNet", "SlidingNet", "SqueezeNet", "VGG", "cached_features", "count_multiplications",
    "count_parameters", "discriminative_groups", "ensemble_predict", "every_window", "fc_to_conv", "freeze",
    "googlenet_loss", "he_init", "imagenet_batch", "layer_stages", "layer_table", "load_by_name", "load_squeezenet",
    "output_size", "plain20", "plain56", "replace_head", "resnet101", "resnet152", "resnet18", "resnet20", "resnet32",
    "resnet34", "resnet50", "resnet56", "unfreeze", "vgg11", "vgg13", "vgg16", "vgg19",
]  # fmt: skip
