"""Values of an image between its pixels: the arithmetic below `warp`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .ordered import must_be_ordered


def raised(tensor: Tensor) -> Tensor:
    """At least float32: half precision is raised, float64 stays float64, anything else is cast to float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def nearest(image: Tensor, target: Tensor, padding: str) -> Tensor:
    """(B, C, H, W) of any type, at the pixels nearest to `target`, (B, 2, H, W) in pixels; half rounds up."""
    height, width = image.shape[2:]
    x, y = torch.floor(target.detach() + 0.5).nan_to_num(nan=-1.0).unbind(1)
    sampled = _pixels(image, x, y)
    if padding == "border":
        return sampled
    return sampled.masked_fill(~_inside(x, y, height, width).unsqueeze(1), 0)


def bilinear(image: Tensor, target: Tensor, padding: str) -> Tensor:
    """grid_sample, made exact at integer coordinates.

    grid_sample wants coordinates normalised by size - 1, and dividing by anything but a power of two moves an integer
    coordinate off its pixel by up to 1e-5 of the width. So the image is padded until size - 1 IS a power of two: the
    normalisation then rounds nothing. The pad is never seen under "border", because coordinates are clamped to the
    true image first (by hardtanh, whose gradient is 0 from the edge on), and it is the wanted zero under "zeros".
    A size of 1 becomes 2, so nothing divides by zero.
    """
    dtype = torch.promote_types(raised(image[:0]).dtype, target.dtype)
    height, width = image.shape[2:]
    x, y = target.to(dtype).nan_to_num(nan=-1.0).unbind(1)
    margin = 0 if padding == "border" else 1
    x = F.hardtanh(x, -margin, width - 1 + margin)
    y = F.hardtanh(y, -margin, height - 1 + margin)
    if must_be_ordered(image, target):
        return _of_four_pixels(image.to(dtype), x, y).to(image.dtype)
    padded_height, padded_width = _power_of_two_plus_one(height), _power_of_two_plus_one(width)
    padded = F.pad(image.to(dtype), (0, padded_width - width, 0, padded_height - height))
    grid = torch.stack((x * (2 / (padded_width - 1)) - 1, y * (2 / (padded_height - 1)) - 1), -1)
    return F.grid_sample(padded, grid, mode="bilinear", padding_mode=padding, align_corners=True).to(image.dtype)


def _of_four_pixels(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The same, to rounding, by `gather`, whose gradient is added up in one order where torch is asked for that."""
    left, top = x.detach().floor(), y.detach().floor()
    right, bottom = x - left, y - top
    total = torch.zeros_like(image)
    for column, across in ((left, 1 - right), (left + 1, right)):
        for row, down in ((top, 1 - bottom), (top + 1, bottom)):
            weight = across * down * _inside(column, row, *image.shape[2:])
            total = total + weight.unsqueeze(1) * _pixels(image, column, row)
    return total


def _pixels(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The pixels at whole coordinates, each (B, H, W); the edge's from outside."""
    height, width = image.shape[2:]
    column, row = x.clamp(0, width - 1).long(), y.clamp(0, height - 1).long()
    index = (row * width + column).flatten(1).unsqueeze(1).expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, index).view_as(image)


def _inside(x: Tensor, y: Tensor, height: int, width: int) -> Tensor:
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _power_of_two_plus_one(size: int) -> int:
    return (1 << max(size - 2, 0).bit_length()) + 1
