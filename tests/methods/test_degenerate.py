"""Batches with nothing to learn from: every method's losses and gradients are finite, and of the labelled terms 0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from temporalkd.config import build, parse
from temporalkd.data.clip import IGNORE, Clip, collate
from temporalkd.methods import METHODS, Method
from tests import tiny

ARCHITECTURE = "tests.training.fifty_steps:Normalised"


def made(name: str, folder: Path) -> tuple[Method, Clip]:
    """A method around a student with BatchNorm, and a batch of one that it could learn from."""
    values = tiny.config(folder, name)
    values["student"] |= {"architecture": ARCHITECTURE, "arguments": {"frozen": False}}
    config = parse(values, "test")
    data = build.training_footage(config)
    student, _ = build.model(config.student, "student", data)
    method = build.method(config, student, build.teacher(config, data), data)
    clips = build.sampler(config, data, method.self_training is not None)
    clip = collate([clips[0]])
    method.prepare([clip])
    return method, clip


def ignored(clip: Clip) -> Clip:
    """No pixel has a label."""
    weak = None if clip.weak is None else torch.full_like(clip.weak, IGNORE)
    return replace(clip, labels=torch.full_like(clip.labels, IGNORE), weak=weak)


def unlabelled(clip: Clip) -> Clip:
    """No frame has a label."""
    return replace(ignored(clip), labelled=torch.zeros_like(clip.labelled))


def occluded(clip: Clip) -> Clip:
    """Nothing of the anchor is seen in a neighbour."""
    return replace(clip, visible=None if clip.visible is None else torch.zeros_like(clip.visible))


def padded(clip: Clip) -> Clip:
    """No pixel is of the footage."""
    return replace(ignored(clip), valid=torch.zeros_like(clip.valid))


def single_class(clip: Clip) -> Clip:
    weak = None if clip.weak is None else torch.zeros_like(clip.weak)
    return replace(clip, labels=torch.zeros_like(clip.labels), weak=weak)


def black(clip: Clip) -> Clip:
    return replace(clip, frames=torch.zeros_like(clip.frames))


CASES = [ignored, unlabelled, occluded, padded, single_class, black]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_losses_and_gradients_are_finite(name: str, case: Any, tmp_path: Path) -> None:
    method, clip = made(name, tmp_path)
    clip = case(clip)
    for progress in (0.0, 0.5):
        method.trainable_modules.train()
        context = method.context(clip, progress=progress)
        losses = method.losses(context)
        assert {key: value.item() for key, value in losses.items() if not torch.isfinite(value)} == {}
        torch.stack(list(method.weighted(losses, progress).values())).sum().backward()
        if case is occluded and "motion_consistency" in losses:
            assert losses["motion_consistency"].item() == 0
        if case in (ignored, unlabelled, padded):
            assert losses["cross_entropy"].item() == 0
        wrong = [
            n
            for n, p in method.trainable_modules.named_parameters()
            if p.grad is not None and not p.grad.isfinite().all()
        ]
        assert wrong == []
        for name_, loss in method.discriminator_losses(context):
            assert torch.isfinite(loss), name_
        assert all(torch.isfinite(v) for v in map(torch.tensor, method.observed(context).values()))
    assert any(isinstance(m, nn.BatchNorm2d) and m.training for m in method.trainable_modules.modules())
    assert all(torch.isfinite(buffer).all() for buffer in method.trainable_modules.buffers())
