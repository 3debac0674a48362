"""Coordinates: where each pixel of a transformed frame lies in the frame it was made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as V

SMALLEST = 1e-5
"""A probability below it is read as this."""


class Coordinates(tv_tensors.TVTensor):
    """Positions (x, y) that follow their frames through the transforms of `Augment`: resize, pad, crop, flip.

    What is kept for the whole frame, at any resolution, is read at them afterwards, with a single interpolation.

    Shape:
        (..., 2, H, W) float32: channel 0 = x, 1 = y, pixels of the original frame; NaN where nothing of it is.
    """


def identity(height: int, width: int) -> Tensor:
    """(2, H, W), each pixel's own position."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([x, y])


def read_at(log_probs: Tensor, size: tuple[int, int], coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of a frame, read where each cell of a transformed frame lies in it.

    They are interpolated as probabilities.

    Shape:
        log_probs: (C, h, w), of the whole frame.
        coordinates: (2, H', W'), of the transformed frame.
    Args:
        size: (H, W) of the frame, pixels.
    Returns:
        ((C, h', w') log-probabilities, (1, h', w') bool), at the same number of pixels a cell.
    """
    cells = [
        -(-side // round(whole / kept)) for side, whole, kept in zip(coordinates.shape[1:], size, log_probs.shape[1:])
    ]
    centres = F.interpolate(coordinates[None], cells, mode="bilinear", align_corners=False)[0]
    valid = centres.isfinite().all(0, keepdim=True)
    span = centres.new_tensor([size[1], size[0]]).view(2, 1, 1)
    where = ((2 * centres + 1) / span - 1).nan_to_num(0).permute(1, 2, 0)[None]
    probs = F.grid_sample(log_probs.exp()[None], where, "bilinear", padding_mode="border", align_corners=False)
    return probs[0].clamp(min=SMALLEST).log().log_softmax(0), valid


def _kernel(name: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function of plain tensors for a functional of transforms.v2."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def kernel(positions: Coordinates, *args: Any, **kwargs: Any) -> Coordinates:
            return function(positions.as_subclass(Tensor), *args, **kwargs).as_subclass(Coordinates)

        V.register_kernel(name, Coordinates)(kernel)
        return function

    return register


@_kernel("horizontal_flip")
def _horizontal_flip(positions: Tensor) -> Tensor:
    return positions.flip(-1)


@_kernel("resize")
def _resize(positions: Tensor, size: list[int], *_: Any, **__: Any) -> Tensor:
    return F.interpolate(positions, size, mode="bilinear", align_corners=False)


@_kernel("crop")
def _crop(positions: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return V.crop_image(positions, top, left, height, width)


@_kernel("pad")
def _pad(positions: Tensor, padding: list[int], fill: Any = None, padding_mode: str = "constant") -> Tensor:
    return V.pad_image(positions, padding, fill=float("nan"), padding_mode="constant")


@V.register_kernel("get_size", Coordinates)
def _get_size(positions: Coordinates) -> list[int]:
    return list(positions.shape[-2:])
