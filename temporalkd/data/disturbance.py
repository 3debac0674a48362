"""What a camera does to a frame: noise, blur, compression, exposure, other from frame to frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NOISE, BLUR, QUALITY, EXPOSURE = 6 / 255, 1.0, 40.0, 0.15
"""At strength 1: standard deviation of the noise and of the blur in pixels at most, JPEG quality lost at most, and
change of brightness and contrast at most."""


class Disturbance(nn.Module):
    """Noise, blur, JPEG and exposure, drawn for each frame alone: what makes a camera's frames flicker.

    Exposure and noise are drawn for every frame, blur and JPEG for half of them.

    Args:
        strength: factor of all; 1: noise up to 6/255, blur up to 1 pixel, JPEG down to quality 60, exposure up to 15 %.
    """

    def __init__(self, strength: float = 1.0):
        super().__init__()
        from kornia.augmentation import ColorJiggle, RandomGaussianBlur, RandomJPEG

        self.strength = strength
        exposure = min(EXPOSURE * strength, 0.9)
        quality = max(100 - QUALITY * strength, 5)
        self.exposure = ColorJiggle(brightness=exposure, contrast=exposure, p=1.0)
        self.blur = RandomGaussianBlur((5, 5), (0.1, max(BLUR * strength, 0.1)), p=0.5)
        self.jpeg = RandomJPEG((quality, 100.0), p=0.5)

    @torch.no_grad()
    def forward(self, frames: Tensor, seed: int) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> the same disturbed, a function of `seed` alone."""
        devices = [frames.device] if frames.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            flat = frames.flatten(0, 1)
            exposed = self.blur(self.exposure(flat))
            deviation = NOISE * self.strength * torch.rand(len(flat), 1, 1, 1, device=flat.device)
            noisy = (exposed + deviation * torch.randn_like(exposed)).clamp(0, 1)
            return self.jpeg(noisy).clamp(0, 1).view_as(frames)
