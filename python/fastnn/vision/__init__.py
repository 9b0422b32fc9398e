"""Vision: boxes, regions and maps in ``vision.ops``, anchors in ``vision.anchors``, changed images in
``vision.transforms``."""

from . import anchors, ops, transforms

__all__ = ["anchors", "ops", "transforms"]
