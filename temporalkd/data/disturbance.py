"""What a camera does to a frame: blur, exposure, noise, gamma, compression, other from frame to frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NOISE, BLUR, MOTION, QUALITY, EXPOSURE, GAMMA = 6 / 255, 1.0, 4, 40.0, 0.15, 0.2
"""At strength 1, at most: standard deviation of the noise and of the blur in pixels, length of the motion blur
in pixels beyond one, JPEG quality lost, change of brightness and contrast, change of gamma."""


class Disturbance(nn.Module):
    """Blur, motion blur, exposure, noise, gamma and JPEG, drawn for each frame alone: what makes frames flicker.

    Exposure, noise and gamma are drawn for every frame, blur and JPEG for half of them, motion blur for a quarter, all
    of one length in a batch.

    Args:
        strength: factor of all; 1: noise up to 6/255, blur up to 1 pixel, motion blur over 3 to 5 pixels, JPEG down to
            quality 60, exposure up to 15 %, gamma 1/1.2 to 1.2.
    """

    def __init__(self, strength: float = 1.0):
        super().__init__()
        from kornia.augmentation import ColorJiggle, RandomGamma, RandomGaussianBlur, RandomJPEG, RandomMotionBlur

        self.strength = strength
        exposure = min(EXPOSURE * strength, 0.9)
        quality = max(100 - QUALITY * strength, 5)
        longest = 1 + 2 * max(1, round(MOTION * strength / 2))
        self.exposure = ColorJiggle(brightness=exposure, contrast=exposure, p=1.0)
        self.blur = RandomGaussianBlur((5, 5), (0.1, max(BLUR * strength, 0.1)), p=0.5)
        motion = min(0.25 * strength, 0.25)
        self.motion = RandomMotionBlur((3, longest), 180.0, 0.5, "reflect", "bilinear", p=motion)
        self.gamma = RandomGamma((1 / (1 + GAMMA * strength), 1 + GAMMA * strength), p=1.0)
        self.jpeg = RandomJPEG((quality, 100.0), p=0.5)

    @torch.no_grad()
    def forward(self, frames: Tensor, seed: int) -> Tensor:
        """(B, T, 3, H, W) in [0, 1] -> the same disturbed, a function of `seed` alone."""
        devices = [frames.device] if frames.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            flat = frames.flatten(0, 1)
            exposed = self.exposure(self.motion(self.blur(flat)))
            deviation = NOISE * self.strength * torch.rand(len(flat), 1, 1, 1, device=flat.device)
            noisy = (exposed + deviation * torch.randn_like(exposed)).clamp(0, 1)
            return self.jpeg(self.gamma(noisy).clamp(0, 1)).clamp(0, 1).view_as(frames)
