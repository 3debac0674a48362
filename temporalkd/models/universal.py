"""Networks that classify masks, read as a score of each class at each pixel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from temporalkd.models.segmenter import SMALLEST


class MaskClassifier(nn.Module):
    """A network of mask queries as a semantic segmenter: the logarithm of each pixel's class scores.

    score_c = sum_q softmax(class_q)_c sigmoid(mask_q), without the class "no object"; a softmax normalises them.

    Args:
        model: (N, 3, h, w) -> an object with class_queries_logits (N, Q, C + 1) and
            masks_queries_logits (N, Q, h', w').
        side: of the square frames that it takes, where it takes no others: the shorter side is resized to it, and the
            scores of windows along the longer one are averaged.
    Source:
        Cheng et al., NeurIPS 2021 (MaskFormer), semantic inference; windows: Kerssies et al., CVPR 2025 (EoMT).
    """

    def __init__(self, model: nn.Module, side: int | None = None):
        super().__init__()
        self.model, self.side = model, side

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised -> (N, C, h, w)."""
        scores = self._scores(x) if self.side is None else self._windows(x, self.side)
        return scores.clamp(min=SMALLEST).log()

    def _scores(self, x: Tensor) -> Tensor:
        out = self.model(x)
        classes = out.class_queries_logits.float().softmax(-1)[..., :-1]
        return torch.einsum("nqc,nqhw->nchw", classes, out.masks_queries_logits.float().sigmoid())

    def _windows(self, x: Tensor, side: int) -> Tensor:
        height, width = x.shape[-2:]
        scale = side / min(height, width)
        size = [max(side, round(length * scale)) for length in (height, width)]
        x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        tall = height > width
        x = x if tall else x.transpose(-2, -1)  # windows are cut along the rows
        count = math.ceil(x.shape[-2] / side)
        starts = torch.linspace(0, x.shape[-2] - side, count).round().long().tolist()
        windows = [x[..., start : start + side, :] for start in starts]
        found = self._scores(torch.cat([w if tall else w.transpose(-2, -1) for w in windows]))
        found = found if tall else found.transpose(-2, -1)
        stride = side / found.shape[-2]
        total = found.new_zeros(len(x), found.shape[1], round(x.shape[-2] / stride), found.shape[-1])
        seen = torch.zeros_like(total[:1, :1])
        for start, scores in zip(starts, found.chunk(count)):
            first = min(round(start / stride), total.shape[-2] - found.shape[-2])
            total[..., first : first + found.shape[-2], :] += scores
            seen[..., first : first + found.shape[-2], :] += 1
        total = total / seen
        return total if tall else total.transpose(-2, -1)
