"""Vision: boxes and regions in ``fastnn.vision.ops``, anchors in ``fastnn.vision.anchors``."""

from . import anchors, ops

__all__ = ["anchors", "ops"]
