"""Gradients that are added up in one order, on devices whose own kernels add them in any."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Resize = Callable[[Tensor, tuple[int, int]], Tensor]


def must_be_ordered(*tensors: Tensor) -> bool:
    """Whether a gradient of one of them is asked for in one order (`torch.use_deterministic_algorithms`) and not had.

    The processor's kernels have one anyway.
    """
    return torch.are_deterministic_algorithms_enabled() and any(t.requires_grad and not t.is_cpu for t in tensors)


def resized(image: Tensor, size: tuple[int, int], resize: Resize) -> Tensor:
    """`resize(image, size)`; where gradients must be ordered, the same as two matrix products.

    Shape:
        image: (B, C, H, W), floating point.
    Args:
        size: (h, w).
        resize: linear, rows and columns each on their own: adaptive average pooling, antialiased bilinear.
    Returns:
        (B, C, h, w).
    """
    if not must_be_ordered(image):
        return resize(image, size)
    height, width = image.shape[2:]
    rows = resize(torch.eye(height, dtype=image.dtype, device=image.device)[None, None], (size[0], height))
    columns = resize(torch.eye(width, dtype=image.dtype, device=image.device)[None, None], (size[1], width))
    return rows @ image @ columns.mT
