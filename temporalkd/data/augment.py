"""Clip augmentation: geometry in one draw for frames, labels and flow; colour on the device, one draw a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from temporalkd.data.clip import IGNORE


class RandomScale(v2.Transform):
    """Resize everything by one factor, log-uniform in `scale`; masks by the nearest pixel centre."""

    def __init__(self, scale: tuple[float, float]):
        super().__init__()
        self.scale = scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor; the new size follows from the first input's."""
        low, high = (torch.tensor(s).log().item() for s in self.scale)
        factor = torch.empty(()).uniform_(low, high).exp().item()
        height, width = v2.functional.get_size(flat_inputs[0])
        return {"size": [max(1, round(height * factor)), max(1, round(width * factor))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize one input by its kind."""
        if isinstance(inpt, tv_tensors.Mask):
            resized = F.interpolate(inpt.as_subclass(Tensor)[None], params["size"], mode="nearest-exact")[0]
            return tv_tensors.wrap(resized, like=inpt)
        return v2.functional.resize(inpt, params["size"], antialias=True)


@dataclass(frozen=True)
class Augment:
    """What is done to a clip's geometry: scale, crop (padding where the frame is smaller), horizontal flip.

    Masks that are padded are filled with 255: for labels that means ignored, for the others "made up".
    """

    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = True

    def __call__(self, sample: dict[str, Any], seed: int) -> dict[str, Any]:
        """Transform a dict of tv_tensors (frames first) with one draw that depends on `seed` alone."""
        steps: list[v2.Transform] = []
        if self.scale != (1.0, 1.0):
            steps.append(RandomScale(self.scale))
        if self.crop is not None:
            fill: dict[Any, Any] = {tv_tensors.Mask: IGNORE, "others": 0}
            steps.append(v2.RandomCrop(self.crop, pad_if_needed=True, fill=fill))
        if self.flip:
            steps.append(v2.RandomHorizontalFlip())
        if not steps:
            return sample
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return v2.Compose(steps)(sample)


class ColourJitter(torch.nn.Module):
    """Brightness, contrast and saturation of a clip, the same for all its frames; the flow never sees it."""

    def __init__(self, strength: float):
        super().__init__()
        from kornia.augmentation import ColorJiggle, VideoSequential

        jiggle = ColorJiggle(brightness=strength, contrast=strength, saturation=strength, p=1.0)
        self.video = VideoSequential(jiggle, data_format="BTCHW", same_on_frame=True)

    @torch.no_grad()
    def forward(self, frames: Tensor, seed: int) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> the same with other colours, a function of `seed` alone."""
        devices = [frames.device] if frames.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self.video(frames).clamp(0, 1)
