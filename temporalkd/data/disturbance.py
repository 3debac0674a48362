"""What a camera does to a frame: blur, exposure, noise, gamma, compression, other from frame to frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

NOISE, BLUR, MOTION, QUALITY, EXPOSURE, GAMMA = 6 / 255, 1.0, 4, 40.0, 0.15, 0.2
"""At strength 1, at most: standard deviation of the noise and of the blur in pixels, length of the motion blur
in pixels beyond one, JPEG quality lost, change of brightness and contrast, change of gamma."""


DisturbanceKind = Literal["blur", "motion", "exposure", "noise", "gamma", "jpeg"]
"""In the order in which they are applied."""


class Disturbance(nn.Module):
    """Blur, motion blur, exposure, noise, gamma and JPEG, drawn for each frame alone: what makes frames flicker.

    Exposure, noise and gamma are drawn for every frame, blur and JPEG for half of them, motion blur for a quarter, all
    of one length in a batch.

    Args:
        strength: factor of all, or kind -> factor for some; 1: noise up to 6/255, blur up to 1 pixel, motion blur over
            3 to 5 pixels, JPEG down to quality 60, exposure up to 15 %, gamma 1/1.2 to 1.2.
    Raises:
        ValueError: an unknown kind, a negative factor.
    """

    def __init__(self, strength: float | Mapping[DisturbanceKind, float] = 1.0):
        super().__init__()
        strengths: Mapping[DisturbanceKind, float] = (
            strength if isinstance(strength, Mapping) else dict.fromkeys(MAKERS, strength)
        )
        for kind, value in strengths.items():
            if kind not in MAKERS or value < 0:
                raise ValueError(
                    f"disturbance: {kind}: {value}, expected a factor of at least 0 for {', '.join(MAKERS)}"
                )
        self.parts = nn.ModuleDict({kind: MAKERS[kind](strengths[kind]) for kind in MAKERS if strengths.get(kind)})

    @torch.no_grad()
    def forward(self, frames: Tensor, seed: int) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> the same disturbed, a function of `seed` alone."""
        devices = [frames.device] if frames.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            flat = frames.flatten(0, 1)
            for part in self.parts.values():
                flat = part(flat).clamp(0, 1)
            return flat.view_as(frames)


class Noise(nn.Module):
    """Gaussian, independent of its neighbours; its deviation is drawn for each frame, up to `most`."""

    def __init__(self, most: float):
        super().__init__()
        self.most = most

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same."""
        deviation = self.most * torch.rand(len(frames), 1, 1, 1, device=frames.device)
        return frames + deviation * torch.randn_like(frames)


def _blur(strength: float) -> nn.Module:
    from kornia.augmentation import RandomGaussianBlur

    return RandomGaussianBlur((5, 5), (0.1, max(BLUR * strength, 0.1)), p=0.5)


def _motion(strength: float) -> nn.Module:
    from kornia.augmentation import RandomMotionBlur

    longest = 1 + 2 * max(1, round(MOTION * strength / 2))
    return RandomMotionBlur((3, longest), 180.0, 0.5, "reflect", "bilinear", p=min(0.25 * strength, 0.25))


def _exposure(strength: float) -> nn.Module:
    from kornia.augmentation import ColorJitter

    most = min(EXPOSURE * strength, 0.9)
    return ColorJitter(brightness=most, contrast=most, p=1.0)


def _gamma(strength: float) -> nn.Module:
    from kornia.augmentation import RandomGamma

    return RandomGamma((1 / (1 + GAMMA * strength), 1 + GAMMA * strength), p=1.0)


def _jpeg(strength: float) -> nn.Module:
    from kornia.augmentation import RandomJPEG

    return RandomJPEG((max(100 - QUALITY * strength, 5), 100.0), p=0.5)


MAKERS: dict[DisturbanceKind, Callable[[float], nn.Module]] = {
    "blur": _blur,
    "motion": _motion,
    "exposure": _exposure,
    "noise": lambda strength: Noise(NOISE * strength),
    "gamma": _gamma,
    "jpeg": _jpeg,
}
