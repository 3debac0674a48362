"""Perceptual consistency: places of two frames whose features match should have one class; no flow is needed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from temporalkd.metrics.base import BaseMetric
from temporalkd.metrics.bootstrap import Measure
from temporalkd.metrics.maps import batched

CHUNK = 1024
_ALIKE = 1e-6
"""Correlations that differ by less are all the same: such a place has no match."""


def perceptual_consistency(
    features_t: Tensor, features_t1: Tensor, map_t: Tensor, map_t1: Tensor, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """How well the best match of each place can be had within its own class, in both directions.

    With c the cosine of the features at i of t and at j of t + 1, and s their classes:
    pc(i) = (max_j c [s_i = s_j] - mean_j c) / (max_j c - mean_j c).
    1: the best match has the class of i. It may fall below 0, where no place of that class is alike at all.

    Shape:
        features_t, features_t1: (c, h, w), deep features of the frames.
        map_t, map_t1: (H, W), integers, class maps; read at the nearest pixel where they are larger.
    Args:
        chunk: places of t that are matched at once; memory: 4 x chunk x h w numbers.
    Returns:
        Two (h, w): of the places of t, and of t + 1; NaN where all places of the other frame are equally alike.
    Source:
        Zhang et al., Perceptual Consistency in Video Segmentation, WACV 2022 (arXiv 2110.12385), Eq. 1 to 3.
    """
    if features_t.shape != features_t1.shape or features_t.ndim != 3 or map_t.shape != map_t1.shape or map_t.ndim != 2:
        shapes = [tuple(x.shape) for x in (features_t, features_t1, map_t, map_t1)]
        raise ValueError(f"features and maps are {shapes}; expected (c, h, w) twice and (H, W) twice")
    size = features_t.shape[1:]
    ours, theirs = (F.normalize(f.detach().float().flatten(1), dim=0) for f in (features_t, features_t1))
    s_ours, s_theirs = (_at(size, map.to(ours.device)) for map in (map_t, map_t1))
    rows, best, best_alike = [], torch.full_like(ours[0], -2), torch.full_like(ours[0], -2)
    for places, classes in zip(ours.T.split(chunk), s_ours.split(chunk)):
        cosine = places @ theirs
        alike = cosine * (classes[:, None] == s_theirs)
        rows.append((alike.amax(1), cosine.amax(1)))
        best, best_alike = torch.maximum(best, cosine.amax(0)), torch.maximum(best_alike, alike.amax(0))
    own_alike, own = (torch.cat(parts) for parts in zip(*rows))
    of_t = _share(own_alike, own, ours.T @ theirs.mean(1))
    of_t1 = _share(best_alike, best, theirs.T @ ours.mean(1))
    return of_t.view(size), of_t1.view(size)


class PerceptualConsistency(BaseMetric):
    """Perceptual consistency of class maps: of each pair the smaller mean of the two directions; mean over pairs.

    Computes a share: perceptual, 1 at most; NaN where nothing was matched. What it says depends on the features: the
    authors take those of ResNet-18 at stride 8.

    Args:
        chunk: places that are matched at once, see `perceptual_consistency`.
    Source:
        Zhang et al., WACV 2022 (arXiv 2110.12385).

    >>> import torch
    >>> from temporalkd.metrics import PerceptualConsistency
    >>> metric = PerceptualConsistency()
    >>> features, map = torch.randn(16, 8, 8), torch.randint(0, 3, (64, 64))
    >>> metric.update(map, map, features, features)
    >>> round(metric.compute()["perceptual"].item(), 4)
    1.0
    """

    def __init__(self, chunk: int = CHUNK, synced: bool = True):
        share = Measure(lambda c: torch.minimum(c[..., 0] / c[..., 1], c[..., 2] / c[..., 3]), pooled=False)
        super().__init__(4, {"perceptual": share}, synced)
        self.chunk = chunk

    def update(self, map_t: Tensor, map_t1: Tensor, features_t: Tensor, features_t1: Tensor, clip: int = 0) -> None:
        """Add a pair of frames, or a batch of pairs.

        Shape:
            map_t, map_t1: (H, W) or (B, H, W), integers, class maps of t and t + 1.
            features_t, features_t1: (c, h, w) or (B, c, h, w), on the device where they are to be matched.
        """
        maps = [batched(name, m, map_t.shape) for name, m in (("map_t", map_t), ("map_t1", map_t1))]
        features = [f if f.ndim == 4 else f[None] for f in (features_t, features_t1)]
        for f_t, f_t1, m_t, m_t1 in zip(*features, *maps, strict=True):
            both = [pc[~pc.isnan()].double() for pc in perceptual_consistency(f_t, f_t1, m_t, m_t1, self.chunk)]
            counts = [number for pc in both for number in (float(pc.sum()), len(pc))]
            self.append(torch.tensor(counts, dtype=torch.float64), clip)


def _at(size: torch.Size, map: Tensor) -> Tensor:
    """(H, W) -> (h w,), each place's nearest pixel."""
    return F.interpolate(map[None, None].float(), tuple(size), mode="nearest").flatten()


def _share(alike: Tensor, best: Tensor, mean: Tensor) -> Tensor:
    room = best - mean
    return torch.where(room > _ALIKE, (alike - mean) / room, torch.nan)
