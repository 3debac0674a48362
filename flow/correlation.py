"""All-pairs correlation of two feature maps at several scales, and looking up neighbourhoods in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def pyramid(features: Tensor, levels: int) -> list[Tensor]:
    """A feature map (B, C, H, W), and what is left of it each time it is halved."""
    maps = [features]
    while len(maps) < levels:
        maps.append(F.avg_pool2d(maps[-1], kernel_size=2))
    return maps


class Correlation:
    """How much each place of one map looks like each place of another.

    RAFT pools the volume over the places of the other map. A mean of inner products is the inner product with the
    mean: here the other map is pooled, and one product gives every level.

    Shape:
        features: (B, C, H, W).
        others: `pyramid` of features (B, C, H, W).
    Args:
        radius: a neighbourhood is 2 radius + 1 cells wide.
    Source:
        Teed and Deng, ECCV 2020, section 3.2.
    """

    def __init__(self, features: Tensor, others: Sequence[Tensor], radius: int) -> None:
        channels, device = features.shape[1], features.device
        self.radius = radius
        places = torch.cat([level.flatten(2) for level in others], 2)
        self.volume = torch.bmm((features * channels**-0.5).flatten(2).mT, places)
        sizes = torch.tensor([level.shape[2:] for level in others], device=device)
        self.height, self.width = sizes[:, 0].view(-1, 1, 1), sizes[:, 1].view(-1, 1, 1)
        areas = sizes.prod(1)
        self.starts = (areas.cumsum(0) - areas).view(-1, 1, 1)
        self.scale = 0.5 ** torch.arange(len(others), device=device).view(-1, 1)
        self.steps = torch.arange(-radius, radius + 2, device=device).view(-1, 1)

    def keep(self, entries: Tensor) -> None:
        """Forget the other entries of the batch."""
        self.volume = self.volume[entries]

    def around(self, centres: Tensor) -> Tensor:
        """Bilinear values at whole offsets from the centres, 0 outside the map.

        All offsets share their weights, so each value of the volume is fetched once, not four times.

        Shape:
            centres: (B, 2, H, W), x and y in the other map, in cells of its finest level.
        Returns:
            (B, levels * (2 radius + 1)^2, H, W): by level, then by x, then by y; channels last.
        """
        batch, _, height, width = centres.shape
        x, y = centres.transpose(0, 1).reshape(2, 1, -1) * self.scale
        columns, right, inside_x = self._cells(x, self.width)
        rows, down, inside_y = self._cells(y, self.height)
        count, length = x.shape[1], self.volume.shape[2]
        rows = rows * self.width + (self.starts + torch.arange(count, device=x.device) * length)
        cells = rows[:, :, None] + columns[:, None]  # (level, y, x, place)
        values = self.volume.view(-1).index_select(0, cells.view(-1)).view(cells.shape)
        values *= inside_y[:, :, None]
        values *= inside_x[:, None]
        values = torch.lerp(values[:, :-1], values[:, 1:], down[:, None, None])
        values = torch.lerp(values[:, :, :-1], values[:, :, 1:], right[:, None, None])
        return values.permute(3, 0, 2, 1).reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _cells(self, place: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Along one axis: the cells around a place, moved inside; how far it is past one; which were inside before."""
        first = place.floor()
        cells = first.clamp(-(2.0**30), 2.0**30).long()[:, None] + self.steps
        inside = (cells >= 0) & (cells < size)
        return cells.clamp(min=0).minimum(size - 1), place - first, inside.to(place.dtype)
