"""Optical flow: estimate it, look along it, transform it, keep it, show it.

One convention everywhere. A field is float32 of shape (B, 2, H, W), in pixels of its own resolution, channel 0 = dx to
the right, channel 1 = dy down. `flow(a -> b)` says: the content at x in a is at x + f(x) in b. Hence
`warp(b, flow_a_to_b)` is b seen from a's grid, and `estimator(a, b)` is that flow.

This package stands alone: it imports torch, torchvision, OpenCV, numpy and safetensors, nothing above it.
"""

from .builder import build
from .cache import FlowCache, LazyFrame
from .estimator import FlowEstimator, ZeroFlow
from .field import FlowField
from .files import read_flo, read_kitti, write_flo, write_kitti
from .picture import arrows, to_image
from .warp import in_frame, photometric_weight, resize_flow, visible, warp

__all__ = [
    "FlowCache",
    "FlowEstimator",
    "FlowField",
    "LazyFrame",
    "ZeroFlow",
    "arrows",
    "build",
    "in_frame",
    "photometric_weight",
    "read_flo",
    "read_kitti",
    "resize_flow",
    "to_image",
    "visible",
    "warp",
    "write_flo",
    "write_kitti",
]
