"""How a network's input is scaled: given by the user, or looked up for networks of a known family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from temporalkd.console import say
from temporalkd.models.known import known_statistics

MAX_DIVISOR = 1024


@dataclass(frozen=True)
class Normalisation:
    """(255 RGB - mean) / std, per channel, then zeros bottom and right up to a multiple of `divisor`.

    Raises:
        ValueError: a number that would make every answer the same, or frames of any size.
    """

    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    divisor: int = 32

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean}, std {self.std}: expected finite numbers, std more than 0")
        if not 1 <= self.divisor <= MAX_DIVISOR:
            raise ValueError(f"divisor is {self.divisor}, expected 1 to {MAX_DIVISOR}")


Statistics = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of the channels, RGB, of frames in [0, 1]."""
Given = Normalisation | Literal["none", "imagenet"] | Statistics


def resolve(given: Given | None, network: nn.Module) -> Normalisation:
    """The normalisation that `given` means; None: that of the network's family, which is said in one line.

    Raises:
        ValueError: `given` is none of these, or is None and the network is of no known family.
    """
    if isinstance(given, Normalisation):
        return given
    if given is None:
        found = known_statistics(network)
        if found is None:
            raise ValueError(
                f"normalisation: cannot be seen from outside of a {type(network).__name__}: say "
                '"none" (it takes RGB in [0, 1]), "imagenet", or (mean, std) for RGB in [0, 1]'
            )
        statistics, source = found
        mean, std = ([round(float(value), 4) for value in values] for values in statistics)
        say(f"{type(network).__name__}: normalisation {source}: mean {mean}, std {std}")
        return _of_unit_range(*statistics)
    if given == "none":
        return _of_unit_range((0, 0, 0), (1, 1, 1))
    if given == "imagenet":
        return Normalisation()
    if isinstance(given, Sequence) and not isinstance(given, str) and [len(part) for part in given] == [3, 3]:
        return _of_unit_range(*given)
    raise ValueError(
        f'normalisation: {given!r}, expected "none", "imagenet", or (mean, std), three numbers each, for RGB in [0, 1]'
    )


def _of_unit_range(mean: Sequence[float], std: Sequence[float]) -> Normalisation:
    (r, g, b), (dr, dg, db) = ([round(255 * float(value), 6) for value in values] for values in (mean, std))
    return Normalisation((r, g, b), (dr, dg, db))
