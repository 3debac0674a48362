"""Looking one frame up along the motion into another: warp, and where that is trustworthy.

Directions and units are those of the package: `field` holds pixels, channel 0 to the right, channel 1 down, and the
content at x in a is at x + f(x) in b. So `warp(b, flow_a_to_b)` is b seen from a's grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .sampling import bilinear, nearest, raised

MODES = ("bilinear", "nearest")
PADDINGS = ("border", "zeros")


def warp(image: Tensor, field: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Sample an image at x + f(x): zero flow is the identity, integer flow copies pixels.

    Pixel centres sit at integers (the align_corners=True arithmetic). Bilinear is differentiable in both arguments;
    nearest rounds by floor(x + 0.5) and copies values, so it is exact for class ids and masks of any dtype.
    Half-precision flow is raised to float32 before any coordinate is formed, float64 stays float64.

    Shape:
        image: (B, C, H, W); floating point for bilinear, any dtype for nearest.
        field: (B, 2, H, W), floating point, pixels.
    Args:
        mode: "bilinear" | "nearest".
        padding: what is seen outside the image: "border" repeats the edge, "zeros" is 0 (False for bool).
    Returns:
        (B, C, H, W), in the image's dtype. A flow of NaN reads as out of frame, at the left or top edge.
    Raises:
        ValueError: shapes that do not fit, an unknown mode or padding, bilinear on integers.
    """
    image, field = image.as_subclass(Tensor), field.as_subclass(Tensor)
    _check_field(field)
    if image.ndim != 4 or image.shape[0] != field.shape[0] or image.shape[2:] != field.shape[2:]:
        shapes = f"image is {tuple(image.shape)}, field is {tuple(field.shape)}"
        raise ValueError(f"warp: {shapes}; expected (B, C, H, W) and (B, 2, H, W)")
    if mode not in MODES:
        raise ValueError(f"warp: mode is {mode!r}, expected one of {MODES}")
    if padding not in PADDINGS:
        raise ValueError(f"warp: padding is {padding!r}, expected one of {PADDINGS}")
    if mode == "nearest":
        return nearest(image, _target(field), padding)
    if not image.is_floating_point():
        raise ValueError(f"warp: image is {image.dtype}; class ids and masks are warped with mode='nearest'")
    return bilinear(image, _target(field), padding)


def in_frame(field: Tensor) -> Tensor:
    """Where the flow ends inside the image: 0 <= x + f(x) <= size - 1 in both directions.

    Shape:
        field: (B, 2, H, W), pixels.
    Returns:
        bool (B, 1, H, W); False where the flow is NaN.
    """
    field = field.as_subclass(Tensor)
    _check_field(field)
    x, y = _target(field).unbind(1)
    height, width = field.shape[2:]
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).unsqueeze(1)


def visible(forward: Tensor, backward: Tensor) -> Tensor:
    """Pixels of a whose content is seen in b too: in frame, and the way there and back ends where it began.

    The check is |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5 px^2, with b the backward flow sampled bilinearly at x + f.

    Shape:
        forward: (B, 2, H, W), a -> b, pixels.
        backward: (B, 2, H, W), b -> a, pixels.
    Returns:
        bool (B, 1, H, W), on a's grid.
    Source:
        Sundaram, Brox and Keutzer, ECCV 2010, section 4.
    """
    forward, backward = forward.as_subclass(Tensor), backward.as_subclass(Tensor)
    if forward.shape != backward.shape:
        raise ValueError(f"visible: forward is {tuple(forward.shape)} but backward is {tuple(backward.shape)}")
    _check_field(forward)
    there, back = raised(forward), warp(raised(backward), forward)
    gap = (there + back).square().sum(1, keepdim=True)
    length = there.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return in_frame(forward) & (gap <= 0.01 * length + 0.5)


def photometric_weight(image: Tensor, neighbour: Tensor, field: Tensor, beta: float = 10.0) -> Tensor:
    """Trust in the flow from how well it explains the colours: exp(-beta * mean_c |I - W(J)|).

    Shape:
        image, neighbour: (B, C, H, W), in [0, 1].
        field: (B, 2, H, W), image -> neighbour, pixels.
    Args:
        beta: fall per unit of mean absolute colour difference; at 10, a difference of 18/255 halves the trust.
    Returns:
        (B, 1, H, W), in (0, 1].
    Source:
        Liu et al., ECCV 2020 (occlusion mask of the motion-guided loss), on [0, 1] colours and averaged over channels.
    """
    if image.shape != neighbour.shape:
        raise ValueError(f"photometric_weight: image is {tuple(image.shape)}, neighbour is {tuple(neighbour.shape)}")
    difference = (raised(image.as_subclass(Tensor)) - warp(raised(neighbour.as_subclass(Tensor)), field)).abs()
    return torch.exp(-beta * difference.mean(1, keepdim=True))


def resize_flow(field: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a flow field, and its vectors with it, to pixels of the new resolution.

    Bilinear between pixel areas, as images are resized, with antialiasing where it shrinks.

    Shape:
        field: (..., 2, H, W), pixels of H x W.
    Args:
        size: (height, width) wanted.
    Returns:
        (..., 2, height, width), pixels of the new size.
    """
    field = field.as_subclass(Tensor)
    if field.ndim < 3 or field.shape[-3] != 2 or not field.is_floating_point():
        raise ValueError(f"resize_flow: field is {field.dtype} {tuple(field.shape)}, expected floating (..., 2, H, W)")
    (height, width), (old_height, old_width) = size, field.shape[-2:]
    if height < 1 or width < 1:
        raise ValueError(f"resize_flow: size is {tuple(size)}, expected two positive numbers")
    if (height, width) == (old_height, old_width):
        return field
    flat = raised(field).reshape(-1, 2, old_height, old_width)
    shrinks = height < old_height or width < old_width
    resized = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False, antialias=shrinks)
    scale = resized.new_tensor([width / old_width, height / old_height]).view(2, 1, 1)
    return (resized * scale).reshape(*field.shape[:-2], height, width)


def _check_field(field: Tensor) -> None:
    if field.ndim != 4 or field.shape[1] != 2 or not field.is_floating_point():
        raise ValueError(f"flow field is {field.dtype} {tuple(field.shape)}, expected floating point (B, 2, H, W)")


def _target(field: Tensor) -> Tensor:
    """x + f(x) in pixels: (B, 2, H, W), never half precision."""
    field = raised(field)
    height, width = field.shape[2:]
    x = torch.arange(width, dtype=field.dtype, device=field.device)
    y = torch.arange(height, dtype=field.dtype, device=field.device)
    return torch.stack((field[:, 0] + x, field[:, 1] + y[:, None]), 1)
