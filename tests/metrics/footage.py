"""Small random videos for the metrics, as the reference takes them (numpy) and as the metrics do (tensors)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporalkd.metrics import FramePair

from .reference import VOID, Array, Arrays

CLASSES = 6
"""0..2 are labelled and predicted, 3 is only predicted, 4 only labelled, 5 neither."""


@dataclass
class Video:
    """Maps and probabilities of a system, labels, and the motion from each frame to the next."""

    maps: list[Array]
    probs: list[Array]
    labels: list[Array]
    flows: list[Array]
    masks: list[Array]

    def known(self, labelled: bool) -> Arrays | None:
        return self.labels if labelled else None

    def pair(self, t: int, labelled: bool = True) -> FramePair:
        labels = [tensor(self.labels[i]) if labelled else None for i in (t, t + 1)]
        return FramePair(tensor(self.flows[t]), tensor(self.masks[t]), *labels)

    def feed(self, metric: Any, labelled: bool = True, clip: int = 0) -> None:
        """All pairs to a metric of class maps along the motion."""
        for t in range(len(self.flows)):
            metric.update(tensor(self.maps[t]), tensor(self.maps[t + 1]), self.pair(t, labelled), clip)

    def feed_probs(self, metric: Any, clip: int = 0) -> None:
        for t in range(len(self.flows)):
            metric.update(tensor(self.probs[t]), tensor(self.probs[t + 1]), self.pair(t), clip)

    def feed_frames(self, metric: Any, clip: int = 0) -> None:
        """All frames to a metric of class maps and labels."""
        for map, label in zip(self.maps, self.labels):
            metric.update(tensor(map), tensor(label), clip)


def tensor(array: Array) -> Tensor:
    """Class maps as uint8, anything else as it is."""
    return torch.from_numpy(array.astype(np.uint8) if array.dtype == np.int64 else array)


def random_video(seed: int, length: int = 4, size: tuple[int, int] = (23, 29)) -> Video:
    """Patches of classes that mostly stay, errors, void, and motion of every kind, fractional and out of frame too."""
    rng = np.random.default_rng(seed)
    truth, answer = patches(rng, [0, 1, 2, 4], size), patches(rng, [0, 1, 2, 3], size)
    errs = rng.random(size) < 0.1  # where the system answers otherwise, and most often keeps to it
    maps, labels = [], []
    for _ in range(length):
        label, map = truth.copy(), np.where(errs | (truth == 4), answer, truth)
        speckle(rng, label, [0, 1, 2, 4], 3)
        speckle(rng, map, [0, 1, 2, 3], 12)
        y, x = rng.integers(0, [size[0] - 6, size[1] - 8])
        label[y : y + 6, x : x + 8] = VOID
        maps.append(map)
        labels.append(label)
    probs = [rng.dirichlet(np.ones(CLASSES), size).transpose(2, 0, 1).astype(np.float32) for _ in maps]
    flows = [motion(rng, size) for _ in maps[1:]]
    masks = [rng.random(size) > 0.3 for _ in maps[1:]]
    return Video(maps, probs, labels, flows, masks)


def patches(rng: np.random.Generator, values: list[int], size: tuple[int, int], side: int = 13) -> Array:
    """Squares wide enough to have an inside that is 4 pixels away from any other class."""
    coarse = rng.choice(values, (size[0] // side + 2, size[1] // side + 2))
    y, x = rng.integers(0, side, 2)
    return np.kron(coarse, np.ones((side, side), int))[y : y + size[0], x : x + size[1]]


def speckle(rng: np.random.Generator, map: Array, values: list[int], count: int) -> None:
    map[rng.integers(0, map.shape[0], count), rng.integers(0, map.shape[1], count)] = rng.choice(values, count)


def motion(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Fractional flow, whole pixels in a quarter of the frame, a few pixels far out of it."""
    flow = rng.normal(0, 1.5, (2, *size))
    flow[:, : size[0] // 2, : size[1] // 2] = rng.integers(-3, 4, (2, 1, 1))
    far = rng.random(size) < 0.05
    flow[:, far] = rng.normal(0, 60, (2, int(far.sum())))
    return flow.astype(np.float32)
