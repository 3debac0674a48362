"""Dense inverse search from OpenCV: no weights, quick on a CPU, and a second opinion that shares nothing with RAFT."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .estimator import FlowEstimator, cropped, padding_to, register

PRESETS = ("ultrafast", "fast", "medium")
"""In OpenCV's order: the position is OpenCV's number of the preset."""

MINIMUM = 128
"""OpenCV's pyramid runs out of levels below this, and then crashes rather than raises."""


class Gray(NamedTuple):
    """Frames as DIS sees them: uint8 luma, padded, and what is needed to go back."""

    images: list[np.ndarray]
    padding: tuple[int, int, int, int]
    device: torch.device


@register("dis")
class Dis(FlowEstimator):
    """DIS on 8-bit luma, on the CPU whatever the frames' device.

    Args:
        preset: "ultrafast" | "fast" | "medium", slower and finer in this order.
    Source:
        Kroeger et al., ECCV 2016, as implemented by OpenCV.
    """

    def __init__(self, preset: str = "medium") -> None:
        import cv2

        super().__init__("dis")
        if preset not in PRESETS:
            raise ValueError(f"flow 'dis': preset is {preset!r}, expected one of {PRESETS}")
        self.preset = preset
        self.freeze({"preset": preset, "opencv": cv2.__version__})

    def encode(self, frames: Tensor) -> Gray:
        import cv2

        padding = padding_to(frames.shape[-2:], multiple=1, minimum=MINIMUM)
        padded = F.pad(frames, padding, mode="replicate")
        colours = (padded * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        return Gray([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in colours], padding, frames.device)

    def match(self, source: Gray, target: Gray) -> Tensor:
        import cv2

        # A new object each time: it carries buffers between calls, and cannot be pickled into a worker.
        search: Any = cv2.DISOpticalFlow.create(PRESETS.index(self.preset))
        fields = [search.calc(one, other, None) for one, other in zip(source.images, target.images)]
        field = torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2)
        return cropped(field, source.padding).to(source.device)
