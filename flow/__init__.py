"""Optical flow: estimate it, look along it, transform it, keep it, show it.

One convention everywhere. A field is float32 of shape (B, 2, H, W), in pixels of its own resolution, channel 0 = dx to
the right, channel 1 = dy down. `flow(a -> b)` says: the content at x in a is at x + f(x) in b. Hence
`warp(b, flow_a_to_b)` is b seen from a's grid, and `estimator(a, b)` is that flow.

This package stands alone: it imports torch, torchvision, OpenCV, numpy and safetensors, nothing above it.
"""

from typing import TYPE_CHECKING, Any

from .builder import build, estimators
from .cache import FlowCache, LazyFrame
from .estimator import FlowEstimator, ZeroFlow, register
from .files import read_flo, read_kitti, write_flo, write_kitti
from .picture import arrows, to_image
from .warp import in_frame, photometric_weight, resize_flow, visible, warp

if TYPE_CHECKING:
    from .field import FlowField

__all__ = [
    "FlowCache",
    "FlowEstimator",
    "FlowField",
    "LazyFrame",
    "ZeroFlow",
    "arrows",
    "build",
    "estimators",
    "in_frame",
    "photometric_weight",
    "read_flo",
    "read_kitti",
    "register",
    "resize_flow",
    "to_image",
    "visible",
    "warp",
    "write_flo",
    "write_kitti",
]


def __getattr__(name: str) -> Any:
    """FlowField brings torchvision.transforms.v2 along, which only those who transform fields need."""
    if name != "FlowField":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .field import FlowField

    return FlowField
