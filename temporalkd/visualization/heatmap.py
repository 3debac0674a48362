"""Where classes flipped lately: a trail of heat that fades."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from temporalkd.visualization.overlay import from_picture, same_size

TRAIL = 15.0
FULL = 7
"""Flips, fading, at which the heat is as bright as it gets."""


class Heat:
    """How often each pixel flipped lately: a count in which every flip fades to 1/e within `trail` frames.

    The state is one image, however long the video. The trail is counted in frames, so that a video looks the same at
    any speed of play. It stays where the flip was seen and does not follow the motion.

    Args:
        trail: frames, more than 0.
    """

    def __init__(self, trail: float = TRAIL) -> None:
        if not 0 < trail < math.inf:
            raise ValueError(f"trail must be a number of frames, more than 0, got {trail}")
        self.fading = math.exp(-1 / trail)
        self.count: Tensor | None = None

    def add(self, flips: Tensor) -> Tensor:
        """Let a frame pass.

        Shape:
            flips: (H, W), bool, the pixels that flip at this frame.
        Returns:
            (H, W) float32, the counts; those of `flips` are in.
        """
        now = flips.cpu().float()
        self.count = now if self.count is None else self.count * self.fading + now
        return self.count


def heatmap(image: Tensor, heat: Tensor) -> Tensor:
    """An image (3, H, W) uint8 under the heat of counts (H, W)."""
    same_size("heat", heat, image)
    level = heatmap_level(heat)
    # It comes in gently, so that a faded trail has no edge; from a third of a flip on it hides the image.
    opacity = (level * 6).clamp(0, 0.92)
    return (image + (heat_colours(level) - image.float()) * opacity).round().to(torch.uint8)


def heatmap_level(heat: Tensor) -> Tensor:
    """Counts to brightness in [0, 1], logarithmic: one flip is seen, and seven do not outshine it."""
    return (torch.log1p(heat.float()) / math.log1p(FULL)).clamp(0, 1)


def heat_colours(level: Tensor) -> Tensor:
    """(H, W) brightness in [0, 1] -> (3, H, W) uint8.

    Viridis without its dark end, blue over green to yellow: perceptually even, and unlike inferno or jet it comes
    nowhere near the red of the flips, nor, so saturated, near the grey of the frame.
    """
    index = (70 + level * 185).round().to(torch.uint8).numpy()
    coloured = cv2.cvtColor(cv2.applyColorMap(index, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    return from_picture(np.asarray(coloured, np.uint8))
