"""An object of a still, cut out by its label, that moves on its own in front of the rest."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.clip import IGNORE

SMALLEST, LARGEST = 0.002, 0.1
"""Area of an object as a share of the picture."""
MARGIN = 2
"""Pixels around its outline where interpolation mixes it with what is behind it."""


class Layer(NamedTuple):
    """An object of a still.

    mask: (H, W) bool, the object; inner, outer: the same without, and with, MARGIN pixels at its outline.
    aside: how far to the side the still shows something else, pixels: it fills the place that the object leaves.
    step: (x, y), its motion in the still, pixels a frame.
    """

    mask: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    outer: NDArray[np.bool_]
    aside: int
    step: tuple[float, float]


def find_layer(label: Tensor, rng: np.random.Generator, speed: float) -> Layer | None:
    """One of the connected regions of a class that have the size of an object; None where there is none.

    Shape:
        label: (H, W) uint8, 255 where ignored.
    Args:
        speed: the largest motion, pixels a frame.
    """
    values = label.numpy()
    least, most = SMALLEST * values.size, LARGEST * values.size
    found = []
    for number in np.setdiff1d(np.unique(values), [IGNORE]):
        _, regions, stats, _ = cv2.connectedComponentsWithStats((values == number).astype(np.uint8), connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        found += [(regions == k + 1, stats[k + 1]) for k in np.flatnonzero((areas >= least) & (areas <= most))]
    if not found:
        return None
    mask, box = found[int(rng.integers(len(found)))]
    square = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), square, borderValue=0) > 0
    outer = cv2.dilate(mask.astype(np.uint8), square) > 0
    left, width = int(box[cv2.CC_STAT_LEFT]), int(box[cv2.CC_STAT_WIDTH])
    aside = (width + 2 * MARGIN) * (1 if left + width / 2 < mask.shape[1] / 2 else -1)
    length, direction = speed * rng.uniform(0.3, 1), rng.uniform(0, 2 * np.pi)
    return Layer(mask, inner, outer, aside, (length * np.cos(direction), 0.3 * length * np.sin(direction)))


def at(mask: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The mask at the pixels nearest to these positions; false outside."""
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    height, width = mask.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return inside & mask[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
