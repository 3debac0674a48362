"""A synthetic driving street whose labels, motion and visibility are known exactly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.clip import Motion
from temporalkd.data.source import Source
from temporalkd.data.street.cast import Hits, carry, cast, keys, view_at
from temporalkd.data.street.paint import expose, paint

PALETTE = (
    (128, 128, 128),
    (128, 0, 0),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 192, 128),
    (192, 128, 128),
    (64, 0, 128),
    (64, 64, 0),
)
SMALLEST = 8
RAYS = ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25))  # of a pixel, x ascending


class Street(Source):
    """A drive along an endless procedural street: houses, trees, lamps, signs, traffic and people.

    Every frame is ray cast from (seed, index) alone: any frame in any order, in any process, gives the same bytes.
    Labels are what the ray through the pixel's centre meets; the motion follows that surface point to the other frame,
    and the pixel is visible there if the ray of exactly that sub-pixel position meets the same surface.

    Args:
        seed: which street; not negative.
        length: frames.
        size: (height, width), pixels; at least 8 each.
        light: strength of the changes of exposure and colour over time; 0 turns them off.
        grain: strength of the sensor noise; 0 turns it off.
        fps: frames per second; fewer means more motion between two frames.

    Raises:
        ValueError: a smaller size.
    """

    def __init__(
        self,
        seed: int,
        length: int = 40,
        size: tuple[int, int] = (96, 160),
        light: float = 1.0,
        grain: float = 1.0,
        fps: float = 15.0,
    ) -> None:
        if min(size) < SMALLEST:
            raise ValueError(f"a street needs a size of at least {SMALLEST}x{SMALLEST} pixels, got {size[0]}x{size[1]}")
        self.name = f"street-{seed}"
        self.seed, self.length, self.size = int(seed), length, (size[0], size[1])
        self.light, self.grain, self.fps = light, grain, fps

    def __len__(self) -> int:
        return self.length

    @property
    def labelled(self) -> list[int]:
        """Every frame."""
        return list(range(self.length))

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB, four rays a pixel."""
        height, width = self.size
        view = view_at(self.seed, self._time(index))
        x = np.arange(width, dtype=np.float32)[:, None, None] + np.array([r[0] for r in RAYS], np.float32)[:, None]
        y = np.arange(height, dtype=np.float32) + np.array([r[1] for r in RAYS], np.float32)[:, None]
        shape = (width, len(RAYS), height)
        hits = cast(view, np.broadcast_to(x, shape).ravel(), np.broadcast_to(y, shape).ravel(), self.size)
        image = paint(hits, view).reshape(*shape, 3).mean(1).transpose(1, 0, 2)
        return torch.from_numpy(
            np.ascontiguousarray(expose(image, view.look, index, view.time, self.light, self.grain))
        )

    def label(self, index: int) -> Tensor:
        """(H, W) uint8 class indices into CLASSES; every pixel has one."""
        hits = _centres(self.seed, self._time(index), self.size)
        return torch.from_numpy(_image(hits.classes, self.size))

    def motion(self, source: int, target: int) -> Motion:
        """Exact motion between any two frames.

        Where the target frame does not show the point the flow is still the point's true projection, limited to four
        image sizes (and to a point just before the camera for what it has passed).

        Returns:
            flow, backward (2, H, W) float32, pixels; visible (1, H, W) bool.
        """
        there, visible = self._follow(source, target)
        back = there if source == target else self._follow(target, source)[0]
        return Motion(torch.from_numpy(there), torch.from_numpy(back.copy()), torch.from_numpy(visible)[None])

    def _follow(self, source: int, target: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(2, H, W) flow and (H, W) visibility of one frame's pixels in another."""
        height, width = self.size
        start, end = self._time(source), self._time(target)
        if source == target:
            return np.zeros((2, height, width), np.float32), np.ones((height, width), bool)
        hits = _centres(self.seed, start, self.size)
        view, other = view_at(self.seed, start), view_at(self.seed, end)
        x, y, depth = carry(hits, view, other, self.size)
        seen = (depth > 0) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        inside = np.flatnonzero(seen)
        inside = inside[np.argsort(x[inside])]
        met = cast(other, x[inside].astype(np.float32), y[inside].astype(np.float32), self.size)
        seen[inside] = keys(other, met.row) == keys(view, hits.row[inside])
        column, row = np.divmod(np.arange(height * width), height)
        limit = 4 * max(self.size)
        flow = np.clip(np.stack([x - column, y - row]), -limit, limit).astype(np.float32)
        return np.stack([_image(channel, self.size) for channel in flow]), _image(seen, self.size)

    def _time(self, index: int) -> float:
        return index / self.fps


def streets(count: int, seed: int, **settings: object) -> list[Street]:
    """Streets that differ in everything, drawn from one seed; `settings` as of Street."""
    seeds = np.random.SeedSequence(seed).generate_state(count, np.uint64) >> np.uint64(2)
    return [Street(int(each), **settings) for each in seeds]  # type: ignore[arg-type]


@lru_cache(maxsize=8)
def _centres(seed: int, time: float, size: tuple[int, int]) -> Hits:
    """What the rays through the pixels' centres meet, column after column."""
    height, width = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32), indexing="ij")
    return cast(view_at(seed, time), x.ravel(), y.ravel(), size)


def _image(columns: NDArray, size: tuple[int, int]) -> NDArray:
    """(H, W) from values that run down the columns."""
    return np.ascontiguousarray(columns.reshape(size[1], size[0]).T)
