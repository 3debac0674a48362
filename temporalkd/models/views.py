"""A teacher that looks at a frame several times: mirrored, and at several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.models.mapped import MappedClasses
from temporalkd.models.segmenter import Prediction, Segmenter, enlarged


class MultiView(nn.Module):
    """A network's probabilities, averaged over views of the frame, behind the contract of one network.

    p = 1/V sum_v A_v^-1 softmax(z(A_v x)), A_v: resize by a scale, mirror or not. One view alone is the network itself.
    Features are those of the plain view.

    Args:
        network: any segmenter. One with `input_size` sees every scale at that size: there mirroring is what counts.
        flip: add the mirrored frame at each scale.
        scales: factors by which the frame is resized; 1 must be among them.
    Raises:
        ValueError: no scale of 1, or one that is not more than 0.
    Source:
        Chen et al., 2017 (DeepLab v3): probabilities averaged over flips and scales when a network is evaluated.
    """

    def __init__(
        self, network: Segmenter | MappedClasses, flip: bool = True, scales: Sequence[float] = (0.75, 1.0, 1.25)
    ):
        super().__init__()
        if 1.0 not in scales or min(scales) <= 0:
            raise ValueError(f"scales: {list(scales)}, expected numbers more than 0, 1 among them")
        self.network, self.flip, self.scales = network, flip, tuple(float(scale) for scale in scales)
        self.classes: int = network.classes

    @property
    def channels(self) -> dict[str, list[int]]:
        """See Segmenter."""
        return self.network.channels

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.network.device

    @property
    def count(self) -> int:
        """Number of views: how many times a frame is seen."""
        return len(self.scales) * (1 + self.flip)

    def extra_repr(self) -> str:
        """The views, for a printed network and its fingerprint."""
        return f"flip={self.flip}, scales={self.scales}"

    def forward(self, frames: Tensor) -> Prediction:
        """(N, 3, H, W) float RGB in [0, 1] -> Prediction, logits at (H, W)."""
        plain = self.network(frames)
        whole, native = _probabilities(plain.logits), _probabilities(plain.native)
        for probs in self._views(frames):
            whole = whole + enlarged(probs, whole.shape[-2:])
            native = native + enlarged(probs, native.shape[-2:])
        logits, native = (
            (total / self.count).clamp(min=torch.finfo(total.dtype).tiny).log() for total in (whole, native)
        )
        return Prediction(logits, native, native, None, plain.features)

    def _views(self, frames: Tensor) -> Iterator[Tensor]:
        """(N, C, h, w), the probabilities of each view but the plain one, of its own size, mirrored back."""
        height, width = frames.shape[-2:]
        for scale, mirrored in product(self.scales, (False, True) if self.flip else (False,)):
            if scale == 1 and not mirrored:
                continue
            seen = frames.flip(-1) if mirrored else frames
            if scale != 1:
                size = max(1, round(height * scale)), max(1, round(width * scale))
                seen = F.interpolate(seen, size, mode="bilinear", align_corners=False, antialias=True)
            probs = _probabilities(self.network(seen).logits)
            yield probs.flip(-1) if mirrored else probs


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
