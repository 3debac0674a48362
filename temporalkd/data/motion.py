"""Synthetic camera motion of a still, so that data sets of stills train temporal terms too."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.clip import IGNORE, Motion
from temporalkd.data.layers import Layer, at, find_layer
from temporalkd.data.source import Source

# How much of each motion a clip may have, in half image widths a frame: zoom, two pans, a roll and two tilts of the
# picture plane. Driving is mostly a zoom out of the vanishing point.
KINDS = (1.0, 0.5, 0.15, 0.15, 0.1, 0.1)


class MovedStill(Source):
    """One labelled still as a short video: the middle frame is the still, the others are homographies of it.

    Zoom, pan, roll and a slight tilt grow smoothly with the distance from the middle, so motion and visibility between
    any two frames are known exactly. What comes from outside the still is filled by reflection and is never visible.

    With `objects`, a region of the still's label that has the size of an object may move on its own in front of the
    rest. It covers and uncovers what is behind it: what is covered in one of two frames, and what is filled in where
    the object was, is not visible. A band of 2 pixels at its outline, where both mix, is not either.

    Args:
        still: where the still comes from.
        index: its frame in that source.
        length: frames of the video.
        strength: the largest motion of any corner between adjacent frames, as a share of the width.
        seed: with the still's name and index, all that the motion depends on.
        light: largest change of brightness at the ends of the video, as a share; 0 turns it off.
        grain: standard deviation of the noise on moved frames, as a share of white; 0 turns it off.
        label_all: give moved frames labels too (nearest, 255 outside the still); else only the middle has one.
        objects: share of the stills in which an object moves on its own; 0 reads no label for that.
        exact: tell the motion; otherwise it is to be estimated, as that of real footage beside which the still is used.
    """

    def __init__(
        self,
        still: Source,
        index: int,
        length: int = 7,
        strength: float = 0.016,
        seed: int = 0,
        light: float = 0.0,
        grain: float = 0.0,
        label_all: bool = False,
        exact: bool = True,
        objects: float = 0.0,
    ) -> None:
        self.still, self.index, self.length = still, index, length
        self.strength, self.seed, self.light, self.grain = strength, seed, light, grain
        self.label_all, self.exact, self.objects = label_all, exact, objects
        self.middle = length // 2
        self.name = f"{still.name}-{index}-moved"
        self.fps = still.fps

    def __len__(self) -> int:
        return self.length

    @property
    def labelled(self) -> list[int]:
        """The middle frame, or every frame with `label_all`; none if the still has no label."""
        if self.index not in self.still.labelled:
            return []
        return list(range(self.length)) if self.label_all else [self.middle]

    def files(self, index: int) -> list[Path]:
        """Those of the still."""
        return self.still.files(self.index)

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        picture = _decode(self.still, self.index)
        if index == self.middle:
            return picture.clone()
        x, y, real = self._in_still(index)
        if not real.all():
            layer = self._layer()
            assert layer is not None
            x = np.where(real, x, x + layer.aside)
        moved = cv2.remap(
            np.ascontiguousarray(picture.numpy().transpose(1, 2, 0)),
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return torch.from_numpy(np.ascontiguousarray(self._expose(moved, index).transpose(2, 0, 1)))

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8 class indices, 255 where ignored or outside the still; None on frames without a label."""
        if index not in self.labelled:
            return None
        label = self.still.label(self.index)
        if label is None or index == self.middle:
            return label
        x, y, real = self._in_still(index)
        column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
        height, width = label.shape
        inside = real & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        moved = label.numpy()[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return torch.from_numpy(np.where(inside, moved, IGNORE).astype(np.uint8))

    def motion(self, source: int, target: int) -> Motion | None:
        """Exact motion between any two frames; visible where both frames show that point of the still."""
        if not self.exact:
            return None
        height, width = self._size()
        there, back = self._flow(source, target), self._flow(target, source)
        x, y = _grid(height, width)
        still_x, still_y, real = self._in_still(source)
        visible = real & _inside(x + there[0], y + there[1], height, width) & _inside(still_x, still_y, height, width)
        layer = self._layer()
        if layer is not None:
            covered = at(layer.outer, *_apply(np.linalg.inv(self._pose(target, True)), x + there[0], y + there[1]))
            moves = self._moves(source, layer)
            behind = ~covered & ~at(layer.outer, still_x, still_y)
            visible &= np.where(moves, at(layer.inner, still_x, still_y), behind)
        flow, backward = (torch.from_numpy(f.astype(np.float32)) for f in (there, back))
        return Motion(flow, backward, torch.from_numpy(visible)[None])

    @property
    def knows_motion(self) -> bool:
        """Nothing is decoded to know it."""
        return self.exact and self.length > 1

    def origin(self, index: int) -> tuple[Source, int, Tensor | None]:
        """The still, and where this frame's pixels lie in it."""
        x, y, real = self._in_still(index)
        where = np.where(real & _inside(x, y, *self._size()), np.stack([x, y]), np.nan)
        return self.still, self.index, torch.from_numpy(where.astype(np.float32))

    def _flow(self, source: int, target: int) -> NDArray[np.float64]:
        """(2, H, W) float64, pixels."""
        height, width = self._size()
        if source == target:
            return np.zeros((2, height, width))
        x, y = _grid(height, width)
        moved = np.stack(_apply(self._pose(target) @ np.linalg.inv(self._pose(source)), x, y))
        layer = self._layer()
        if layer is not None:
            own = _apply(self._pose(target, True) @ np.linalg.inv(self._pose(source, True)), x, y)
            moved = np.where(self._moves(source, layer), own, moved)
        return moved - [x, y]

    def _in_still(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Where each pixel of a frame lies in the still, and whether the still shows it: not what an object hides."""
        x, y = _grid(*self._size())
        if index == self.middle:
            return x, y, np.ones(x.shape, bool)
        behind = _apply(np.linalg.inv(self._pose(index)), x, y)
        layer = self._layer()
        if layer is None:
            return *behind, np.ones(x.shape, bool)
        own_x, own_y = _apply(np.linalg.inv(self._pose(index, True)), x, y)
        moves = at(layer.mask, own_x, own_y)
        where = np.where(moves, own_x, behind[0]), np.where(moves, own_y, behind[1])
        return *where, moves | ~at(layer.mask, *behind)

    def _moves(self, index: int, layer: Layer) -> NDArray[np.bool_]:
        """(H, W), the pixels of a frame that show the object that moves on its own."""
        return at(layer.mask, *_apply(np.linalg.inv(self._pose(index, True)), *_grid(*self._size())))

    def _pose(self, index: int, of_object: bool = False) -> NDArray[np.float64]:
        """Homography from the still's pixels to a frame's; that of the object that moves on its own."""
        pose = _poses(*self._size(), self.length, self.strength, self._entropy())[index]
        layer = self._layer() if of_object else None
        if layer is None:
            return pose
        right, down = (step * (index - self.middle) for step in layer.step)
        return pose @ np.array([[1, 0, right], [0, 1, down], [0, 0, 1.0]])

    def _layer(self) -> Layer | None:
        """The object that moves on its own, if one does."""
        if np.random.default_rng([*self._entropy(), 3]).random() >= self.objects:
            return None
        return _object(self.still, self.index, self._entropy(), self.strength)

    def _entropy(self) -> tuple[int, int]:
        digest = hashlib.blake2b(f"{self.still.name}/{self.index}".encode(), digest_size=8).digest()
        return self.seed, int.from_bytes(digest, "little")

    def _expose(self, picture: NDArray, index: int) -> NDArray[np.uint8]:
        """Brightness that drifts away from the still's, and noise of this frame alone."""
        if not self.light and not self.grain:
            return picture
        drift = np.random.default_rng([*self._entropy(), 1]).uniform(-1, 1)
        gain = 1 + self.light * drift * (index - self.middle) / max(self.middle, 1)
        noise = np.random.default_rng([*self._entropy(), 2, index]).standard_normal(picture.shape, dtype=np.float32)
        return np.clip(picture * np.float32(gain) + 255 * self.grain * noise + 0.5, 0, 255).astype(np.uint8)

    def _size(self) -> tuple[int, int]:
        height, width = _decode(self.still, self.index).shape[1:]
        return height, width


@lru_cache(maxsize=2)
def _decode(still: Source, index: int) -> Tensor:
    """The still, decoded once for the calls that concern it."""
    return still.frame(index)


@lru_cache(maxsize=2)
def _object(still: Source, index: int, entropy: tuple[int, int], strength: float) -> Layer | None:
    """An object of a still, as fast in the picture as the camera."""
    label = still.label(index)
    rng = np.random.default_rng([*entropy, 4])
    return None if label is None else find_layer(label, rng, strength * label.shape[1])


@lru_cache(maxsize=64)
def _poses(
    height: int, width: int, length: int, strength: float, entropy: tuple[int, int]
) -> list[NDArray[np.float64]]:
    """Homographies from the still to each frame whose largest step moves a corner by at most `strength` widths."""
    rng = np.random.default_rng(entropy)
    rates = rng.uniform(-1, 1, len(KINDS)) * KINDS
    rates[0] = abs(rates[0])
    bends = rng.uniform(-0.4, 0.4, len(KINDS))
    goal = strength * width * rng.uniform(0.5, 1)
    focus = np.array([width * rng.uniform(0.4, 0.6), height * rng.uniform(0.35, 0.55)])
    away = np.arange(length) - length // 2
    course = away[:, None] * (1 + bends * away[:, None] / max(length / 2, 1))
    corner_x, corner_y = np.array([0.0, width - 1, 0.0, width - 1]), np.array([0.0, 0.0, height - 1, height - 1])
    scale = 1e-4 if goal else 0.0
    poses = [_pose(step, width, focus) for step in course * rates * scale]
    # The motion is nearly linear in the scale: a few corrections meet the goal.
    for _ in range(4 if goal and length > 1 else 0):
        steps = [_apply(b @ np.linalg.inv(a), corner_x, corner_y) for a, b in pairwise(poses)]
        largest = max(np.hypot(x - corner_x, y - corner_y).max() for x, y in steps)
        scale *= goal / largest
        poses = [_pose(step, width, focus) for step in course * rates * scale]
        for pose in poses:
            depth = pose[2] @ np.stack([corner_x, corner_y, np.ones(4)])
            if depth.min() < 0.2 or abs(scale * rates * length).max() > 3:
                raise ValueError(f"a strength of {strength} is too much for {length} frames: use less of either")
    return poses


def _pose(motion: NDArray[np.float64], width: int, focus: NDArray[np.float64]) -> NDArray[np.float64]:
    """The homography (3, 3), in pixels, of a zoom, pan, roll and tilt given in half widths about the focus."""
    zoom, right, down, roll, tilt_x, tilt_y = motion
    cos, sin = np.exp(zoom) * np.cos(roll), np.exp(zoom) * np.sin(roll)
    unit = np.array([[cos, -sin, right], [sin, cos, down], [tilt_x, tilt_y, 1.0]])
    to_pixels = np.array([[width / 2, 0, focus[0]], [0, width / 2, focus[1]], [0, 0, 1]])
    return to_pixels @ unit @ np.linalg.inv(to_pixels)


def _apply(
    homography: NDArray, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    moved = [row[0] * x + row[1] * y + row[2] for row in homography]
    return moved[0] / moved[2], moved[1] / moved[2]


def _grid(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(H, W) x and y of the pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return x, y


def _inside(x: NDArray[np.float64], y: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    # The homography back and forth leaves rounding of 1e-12 px on the border.
    return (x >= -1e-6) & (x <= width - 1 + 1e-6) & (y >= -1e-6) & (y <= height - 1 + 1e-6)
