"""Train the configs of a folder one after the other, so that one start of processes serves them all."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from torch import nn

from temporalkd.config import load
from temporalkd.data.footage import Footage
from temporalkd.data.street import CLASSES, PALETTE, Street
from temporalkd.experiments import run
from tests.tiny import SIZE, Tiny

PLACES = (1, 4)


class Normalised(Tiny):
    """With BatchNorm in place of GroupNorm; frozen, as small batches want it, it stays in eval mode."""

    def __init__(self, classes: int, width: int = 8, frozen: bool = True):
        super().__init__(classes, width)
        self.frozen = frozen
        for place in PLACES:
            self.body[place] = nn.BatchNorm2d(width)

    def train(self, mode: bool = True) -> Normalised:
        super().train(mode)
        for place in PLACES:
            self.body[place].train(mode and not self.frozen)
        return self


class Remembered(Street):
    """Drawn once, as drawing is what would take the time."""

    frame = cache(Street.frame)
    label = cache(Street.label)
    motion = cache(Street.motion)


@cache
def streets() -> Footage:
    return Footage([Remembered(seed, length=6, size=SIZE) for seed in (1, 2)], CLASSES, PALETTE)


def train(configs: Path, runs: str, *settings: str) -> None:
    """Each of the folder's configs into `runs` beside it."""
    for config in sorted(configs.glob("*.yaml")):
        out = configs / runs / config.stem
        run.train(load(config, settings), out, say=lambda line: None, score=False)
