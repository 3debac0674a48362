"""What a synthetic street is made of: its classes, its look drawn from a seed, and the noise of its textures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CLASSES = ("sky", "building", "road", "pavement", "tree", "pole", "sign", "car", "person")
SKY, BUILDING, ROAD, PAVEMENT, TREE, POLE, SIGN, CAR, PERSON = range(len(CLASSES))
BLOCKS_PER_CROSSING = 5
LANE = 1.65  # metres from the middle of the road to the middle of a lane

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """What one street looks like and how one drives along it; a function of the seed."""

    seed: int
    road: float  # half width, metres
    pavement: float
    block: float  # length of a building's plot
    crossing: int
    speed: float
    waves: tuple[tuple[float, float], ...]  # (angular frequency, phase) of the smooth changes
    trees: float
    parked: float
    crowd: float
    traffic: float  # oncoming, m/s
    leads: bool
    sun: float  # -1 or 1: the side that the sun stands on
    contrast: float  # of sunlight to shade
    road_colour: tuple[float, ...]
    pavement_colour: tuple[float, ...]
    sky_colour: tuple[float, ...]
    clouds: float
    gain: float  # exposure of the camera
    leaves: tuple[float, ...]

    def wave(self, which: int, time: float) -> float:
        """A smooth signal in [-1, 1]."""
        frequency, phase = self.waves[which]
        return float(np.sin(frequency * time + phase))

    def travelled(self, time: float) -> float:
        """Metres driven since time 0; the integral of a speed that varies by 45 %."""
        frequency, phase = self.waves[0]
        swing = np.cos(phase) - np.cos(frequency * time + phase)
        return float(self.speed * (time + 0.45 / frequency * swing))

    @property
    def period(self) -> float:
        """Metres from one side street to the next."""
        return self.block * BLOCKS_PER_CROSSING

    def past_crossing(self, z: NDArray) -> NDArray:
        """Metres since the last side street began."""
        periods = (z - self.crossing * self.block) / self.period
        return (periods - np.floor(periods)) * self.period

    def is_crossing(self, z: NDArray) -> NDArray:
        """Whether a side street opens at z."""
        return self.past_crossing(z) < self.block


@lru_cache(maxsize=256)
def style(seed: int) -> Style:
    """The style of a street."""
    rng = np.random.default_rng([seed, 1])
    grey, slab = rng.uniform(0.3, 0.55), rng.uniform(0.38, 0.66)
    overcast = rng.random() ** 0.8
    blue, cloud = np.array([0.42, 0.62, 0.9]), np.full(3, rng.uniform(0.66, 0.88))
    return Style(
        seed=seed,
        road=rng.uniform(4.4, 5.4),
        pavement=rng.uniform(3.2, 6.5),
        block=rng.uniform(11, 17),
        crossing=int(rng.integers(BLOCKS_PER_CROSSING)),
        speed=rng.uniform(3.5, 11),
        waves=tuple((rng.uniform(low, 2 * low), rng.uniform(0, 6.28)) for low in (0.5, 0.4, 0.6, 3, 5, 7, 0.7, 0.9)),
        trees=rng.uniform(0.15, 0.75),
        parked=rng.uniform(0.05, 0.4),
        crowd=rng.uniform(0.25, 0.75),
        traffic=rng.uniform(4, 12),
        leads=bool(rng.random() < 0.6),
        sun=float(rng.choice([-1, 1])),
        contrast=rng.uniform(0.15, 0.55) * (1 - 0.6 * overcast),
        road_colour=tuple(grey * rng.uniform([0.97, 0.97, 0.95], [1.05, 1.02, 1.08])),
        pavement_colour=tuple(slab * rng.uniform([1.0, 0.94, 0.85], [1.08, 1.0, 1.02])),
        sky_colour=tuple(blue * (1 - overcast) + cloud * overcast),
        clouds=rng.uniform(0.1, 0.9),
        gain=rng.uniform(0.98, 1.22),
        leaves=tuple(rng.uniform([0.2, 0.27, 0.12], [0.42, 0.44, 0.24])),
    )


@lru_cache(maxsize=1)
def noise_tile() -> Array:
    """(512, 512) periodic value noise of several octaves, mean 0, about -1 to 1."""
    rng = np.random.default_rng(20)
    tile = np.zeros((512, 512), np.float32)
    for cells, weight in ((8, 0.5), (16, 0.5), (32, 0.45), (64, 0.45), (128, 0.4), (256, 0.3)):
        lattice = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        place = np.arange(512) * cells / 512
        first = place.astype(int)
        blend = (place - first).astype(np.float32)
        blend = blend * blend * (3 - 2 * blend)
        after = (first + 1) % cells
        rows = lattice[first] * (1 - blend)[:, None] + lattice[after] * blend[:, None]
        tile += weight * (rows[:, first] * (1 - blend) + rows[:, after] * blend)
    return tile


def noise(u: Array, v: Array, texels_per_metre: float | Array, offset: float | Array = 0.0) -> Array:
    """Value noise at surface coordinates; repeats after 512 texels."""
    column = (u * texels_per_metre + offset).astype(np.int32) & 511
    row = (v * texels_per_metre + offset).astype(np.int32) & 511
    return noise_tile().ravel()[row * 512 + column]
