"""How long, how fast and in what portions a student is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from temporalkd.data.disturbance import DisturbanceKind


@dataclass(frozen=True)
class Plan:
    """Steps are optimiser steps; `batch` clips go into one forward on one device, `accumulate` forwards into a step.

    on_nonfinite: what becomes of a step whose loss or gradient is not finite; of skipped ones, `nonfinite_limit` may
    come in a row. gradient_norms_at: where each term's gradient is measured. eval_mode: the students stay in eval mode.
    loggers: names, options or objects, see training.loggers.
    ema: decay of the moving average of the student's weights, which is evaluated and saved in its place; 0: none.
    jitter: of the colours of a clip; disturbance: of each frame alone, see data.disturbance. teacher_disturbed: a
    teacher that is run on the clips sees it too; otherwise it sees the frames before.
    """

    steps: int
    batch: int = 4
    accumulate: int = 1
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = 0.9
    warmup: int = 0
    clip_grad: float | None = 5.0
    jitter: float = 0.0
    disturbance: float | Mapping[DisturbanceKind, float] = 0.0
    teacher_disturbed: bool = False
    workers: int = 0
    seed: int = 0
    evaluate_every: int = 0
    checkpoint_every: int = 200
    log_every: int = 10
    gradient_norms_every: int = 100
    gradient_norms_at: Sequence[Literal["encoder", "logits"]] = ("encoder",)
    on_nonfinite: Literal["stop", "skip"] = "stop"
    nonfinite_limit: int = 20
    eval_mode: bool = False
    ema: float = 0.0
    loggers: Sequence[Any] = ("tensorboard",)

    def rate(self, step: int) -> float:
        """The learning rate at a step, as a share of `lr`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        if self.schedule == "poly":
            return (1 - done) ** self.power
        return 0.5 * (1 + math.cos(math.pi * done)) if self.schedule == "cosine" else 1.0

    def optimiser_maker(self) -> Callable[[nn.Module], torch.optim.Optimizer]:
        """Optimiser of a module: no weight decay on biases and normalisation."""

        def make(module: nn.Module) -> torch.optim.Optimizer:
            trained = [p for p in module.parameters() if p.requires_grad]
            groups = [
                {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ]
            if self.optimiser == "sgd":
                return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum)
            return torch.optim.AdamW(groups, lr=self.lr)

        return make
