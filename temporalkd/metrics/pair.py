"""Two consecutive frames as the metrics see them: which pixel of t + 1 each pixel of t moves to, and what counts."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from flow import visible
from temporalkd.metrics.boundary import near_edge
from temporalkd.metrics.confusion import IGNORE

BAND = 4
WARPS = ("nearest", "etc2020", "vspw2021")
_FAR = -1e6


class FramePair:
    """All that is known of frames t and t + 1 but a prediction; computed once, on first use, for any number of those.

    Shape:
        flow: (2, H, W), t -> t + 1, pixels.
        seen: (H, W), bool: visible in both frames.
        labels, following_labels: (H, W) uint8, 255 where void, of t and t + 1; both or none.
    """

    def __init__(
        self, flow: Tensor, seen: Tensor, labels: Tensor | None = None, following_labels: Tensor | None = None
    ):
        shapes = [tuple(x.shape) for x in (seen, labels, following_labels) if x is not None]
        if flow.ndim != 3 or flow.shape[0] != 2 or any(shape != flow.shape[1:] for shape in shapes):
            raise ValueError(f"flow is {tuple(flow.shape)}, the maps are {shapes}; expected (2, H, W) and (H, W)")
        flow = flow.float()
        if not math.isfinite(float(flow.sum())):  # a sum tells it faster than a look at each value
            flow = flow.nan_to_num(nan=_FAR, posinf=-_FAR, neginf=_FAR)  # reads as out of frame
        self.flow, self.seen = flow, seen
        self.labels = labels if following_labels is not None else None
        self.following_labels = following_labels if labels is not None else None
        self._warped: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}

    @classmethod
    def between(
        cls, forward: Tensor, backward: Tensor, labels: Tensor | None = None, following_labels: Tensor | None = None
    ) -> FramePair:
        """From flow t -> t + 1 and back, each (1, 2, H, W): visible where the forward-backward check passes."""
        return cls(forward[0], visible(forward, backward)[0, 0], labels, following_labels)

    @cached_property
    def warped_labels(self) -> Tensor | None:
        """(H, W): the labels of t + 1 seen from t's grid."""
        return None if self.following_labels is None else self.warped(self.following_labels)

    @cached_property
    def counted(self) -> Tensor:
        """(H, W) bool: visible, and void neither in the labels of t nor in those of t + 1 that it moves to."""
        if self.labels is None or self.warped_labels is None:
            return self.seen
        return self.seen & (self.labels != IGNORE) & (self.warped_labels != IGNORE)

    def edge(self, current: Tensor) -> Tensor:
        """(H, W) bool: within 4 px of a class boundary of the labels of t, or of the map given where there are none."""
        return near_edge(current, BAND) if self.labels is None else self._label_edge

    @cached_property
    def _label_edge(self) -> Tensor:
        assert self.labels is not None
        return near_edge(self.labels, BAND)

    def warped(self, following: Tensor, how: str = "nearest") -> Tensor:
        """The class map of t + 1, (H, W), seen from t's grid; `how` is one of WARPS."""
        key = id(following), how
        if key not in self._warped:
            self._warped[key] = following, self._warp(following, how)  # the map is kept: its id must stay its own
        return self._warped[key][1]

    def _warp(self, following: Tensor, how: str) -> Tensor:
        if following.shape != self.seen.shape:
            raise ValueError(f"the map is {tuple(following.shape)}, the motion {tuple(self.seen.shape)}")
        flat = following.flatten()
        if how == "nearest":
            warped = flat.index_select(0, self._nearest)
        elif how == "vspw2021":
            index, inside = self._vspw
            warped = flat.index_select(0, index) * inside
        elif how == "etc2020":
            warped = self._etc(flat)
        else:
            raise ValueError(f"unknown warp {how!r}, expected one of {', '.join(WARPS)}")
        return warped.view_as(following)

    @cached_property
    def _target(self) -> tuple[Tensor, Tensor]:
        """x + f(x)."""
        height, width = self.seen.shape
        return self.flow[0] + torch.arange(width), self.flow[1] + torch.arange(height)[:, None]

    def _index(self, x: Tensor, y: Tensor) -> Tensor:
        """(H W,) positions in a flat map, clamped to the border; overwrites whole-numbered x and y."""
        height, width = self.seen.shape
        x, y = x.clamp_(0, width - 1), y.clamp_(0, height - 1)
        if height * width > 2**24:  # more than float32 can count
            x, y = x.int(), y.int()
        return y.mul_(width).add_(x).int().flatten()

    @cached_property
    def _nearest(self) -> Tensor:
        """Rounded by floor(x + 0.5)."""
        height, width = self.seen.shape
        x = (self.flow[0] + (torch.arange(width) + 0.5)).floor_()
        y = (self.flow[1] + (torch.arange(height) + 0.5)[:, None]).floor_()
        return self._index(x, y)

    @cached_property
    def _vspw(self) -> tuple[Tensor, Tensor]:
        """A grid normalised by (W - 1) but read with align_corners=False; zero outside.

        A pixel at x is read at x W / (W - 1) - 0.5: half a pixel off on average, in opposite directions at the edges.
        """
        (x, y), (height, width) = self._target, self.seen.shape
        x = (((2 * x / max(width - 1, 1) - 1 + 1) * width - 1) / 2).round_()
        y = (((2 * y / max(height - 1, 1) - 1 + 1) * height - 1) / 2).round_()
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return self._index(x, y), inside.flatten()

    @cached_property
    def _corners(self) -> list[tuple[Tensor, Tensor]]:
        """(index, weight) in the order in which they are summed; the indices are clamped, the weights are not.

        The kernel writes `1. - a`, so the three weights that contain it are double; the last, a b, is single.
        """
        x, y = self._target
        left, top = x.floor(), y.floor()
        a, b = (x - left).flatten(), (y - top).flatten()
        double_a, double_b = a.double(), b.double()
        return [
            (self._index(left.clone(), top.clone()), (1 - double_a) * (1 - double_b)),
            (self._index(left + 1, top.clone()), double_a * (1 - double_b)),
            (self._index(left.clone(), top + 1), (1 - double_a) * double_b),
            (self._index(left + 1, top + 1), (a * b).double()),
        ]

    def _etc(self, flat: Tensor) -> Tensor:
        """Class ids interpolated as if they were numbers, then truncated: 0 beside 4 may read as 1, 2 or 3.

        The arithmetic of FlowNet2's resampling kernel as nvcc compiles it: each double product is rounded to single
        before it is added in single; the last product is fused with its addition, which a double sum reproduces.
        """
        values = flat.double()
        products = [values.index_select(0, index).mul_(weight) for index, weight in self._corners]
        total = products[0].float().add_(products[1].float()).add_(products[2].float())
        return products[3].add_(total).float().trunc_().to(flat.dtype)
