"""How long, how fast and in what portions a student is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import nn

from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.options import Options, Seed


class Schedule(Options):
    """Steps are optimiser steps; `batch` clips go into one forward on one device, `accumulate` forwards into a step.

    on_nonfinite: what becomes of a step whose loss or gradient is NaN or infinite; a skipped one changes no weight.
    nonfinite_limit: after so many skipped steps in a row the training stops. gradient_norms_every: steps between two
    measurements of each term's gradient, over the parameters of the student's encoder or at its logits. eval_mode: the
    student keeps its BatchNorm statistics and has no dropout, to fine-tune a network that has converged. ema: decay of
    the moving average of the student's weights, 0.999 say, which is evaluated, saved and exported in the student's
    place; 0: none.
    """

    steps: PositiveInt
    batch: PositiveInt = 4
    accumulate: PositiveInt = 1
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = 0.9
    warmup: NonNegativeInt = 0
    clip_grad: float | None = 5.0
    workers: NonNegativeInt = 0
    evaluate_every: NonNegativeInt = 0
    checkpoint_every: PositiveInt = 200
    log_every: PositiveInt = 10
    gradient_norms_every: NonNegativeInt = 100
    gradient_norms_at: list[Literal["encoder", "logits"]] = Field(default=["encoder"])
    on_nonfinite: Literal["stop", "skip"] = "stop"
    nonfinite_limit: PositiveInt = 20
    eval_mode: bool = False
    ema: float = Field(default=0.0, ge=0, lt=1)


class Plan(Schedule):
    """All that a Trainer needs to know.

    jitter: of the colours of a clip; disturbance: of each frame alone, see data.disturbance. teacher_disturbed: a
    teacher that is run on the clips sees it too; otherwise it sees the frames before. loggers: names, options or
    objects, see training.loggers.
    """

    jitter: float = Field(default=0.0, ge=0, lt=1)
    disturbance: NonNegativeFloat | dict[DisturbanceKind, NonNegativeFloat] = 0.0
    teacher_disturbed: bool = False
    seed: Seed = 0
    loggers: list[Any] = Field(default=["tensorboard"])

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
