"""Networks and footage small enough that a test can train on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from flow import FlowEstimator
from temporalkd.data import camvid
from temporalkd.data.clip import Clip, collate
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import CLASSES, Street
from temporalkd.models import ModelSpec, Normalisation, Segmenter, build, save_segmenter

ARCHITECTURE = "tests.tiny:tiny"
ROLES: dict[str, Any] = {"native": "classifier", "head": "<classifier", "fused": "body", "low": ["body.0", "body.3"]}
SIZE = (48, 64)


class Tiny(nn.Module):
    """Stride 4, GroupNorm, so that a sample's output does not depend on the rest of its batch."""

    def __init__(self, classes: int, width: int = 8, dropout: float = 0.0):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.GroupNorm(2, width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(2, width), nn.ReLU(), nn.Dropout2d(dropout),
        )  # fmt: skip
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.classifier(self.body(x))
        return F.interpolate(logits, scale_factor=4.0, mode="bilinear", align_corners=False)


def tiny(classes: int, width: int = 8, dropout: float = 0.0) -> nn.Module:
    return Tiny(classes, width, dropout)


def spec(classes: int = len(CLASSES), divisor: int = 8, **arguments: Any) -> ModelSpec:
    return ModelSpec(ARCHITECTURE, classes, arguments, Normalisation(divisor=divisor), dict(ROLES))


def segmenter(classes: int = len(CLASSES), seed: int = 0, **arguments: Any) -> Segmenter:
    torch.manual_seed(seed)
    return build(spec(classes, **arguments))


def clip(frames: int = 3, batch: int = 1, seed: int = 0, **settings: Any) -> Clip:
    """Clips of a quiet street, exact motion included."""
    sampler = ClipSampler([Street(seed, 8, SIZE, light=0, grain=0)], frames, seed=seed, **settings)
    return collate([sampler[i] for i in range(batch)])


class Counting(nn.Module):
    """A network that counts its forwards."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.calls = inner, 0
        self.classes = inner.classes

    def forward(self, *args: Tensor) -> Any:
        self.calls += 1
        return self.inner(*args)


class Played(FlowEstimator):
    """Gives out flows that were put in, in order."""

    def __init__(self, flows: Sequence[Tensor]):
        super().__init__("played")
        self.flows, self.asked = list(flows), 0
        self.weight = nn.Parameter(torch.ones(()))
        self.freeze({})

    def encode(self, frames: Tensor) -> Tensor:
        return frames

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        self.asked += 1
        return self.flows[self.asked - 1] * self.weight


def fake_camvid(root: Path, counts: dict[str, int], size: tuple[int, int] = SIZE) -> Path:
    """A copy of CamVid's folders with a few generated frames; labels of 0..11 with the data set's own palette."""
    height, width = size
    colours = [c for colour in (*camvid.PALETTE, (0, 0, 0)) for c in colour]
    for number, (split, count) in enumerate(counts.items()):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng((number, index))
            label = (np.arange(width) * 12 // width + index) % 12 * np.ones((height, 1), int)
            shades = rng.integers(0, 256, (12, 3))
            frame = shades[label] + rng.integers(-8, 9, (height, width, 3))
            name = f"{number:04d}_{index:05d}.png"
            Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(root / split / name)
            picture = Image.fromarray(label.astype(np.uint8), mode="P")
            picture.putpalette(colours)
            picture.save(root / f"{split}annot" / name)
    return root


FRAMES = {"etc": 3, "multilevel": 2, "stckd": 2}
"""That a method's clips must have, where one is not enough."""


def config(folder: Path, method: str = "baseline", **sections: dict[str, Any]) -> dict[str, Any]:
    """Plain values of a config that trains the tiny network on two quiet streets; sections given are joined to it."""
    street = {"dataset": "street", "count": 2, "length": 6, "size": list(SIZE)}
    network: dict[str, Any] = {
        "architecture": ARCHITECTURE, "arguments": {}, "roles": ROLES, "normalisation": {"divisor": 8},
    }  # fmt: skip
    values: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "data": {"train": {**street, "seed": 1}, "frames": FRAMES.get(method, 1)},
        "student": network,
        "method": {"name": method},
        "training": {"steps": 6, "batch": 2, "lr": 0.01, "log_every": 1, "accelerator": "cpu"},
        "evaluation": {"flow": "exact"},
    }
    if method != "baseline":
        path = folder / "teacher.safetensors"
        save_segmenter(segmenter(seed=9, width=12), spec(width=12), path, {})
        values["teacher"] = {"weights": str(path)}
    if method == "stckd":
        path = folder / "second.safetensors"
        save_segmenter(segmenter(seed=8, width=10), spec(width=10), path, {})
        values["second_teacher"] = {"weights": str(path)}
        values["method"] |= {"width": 8}
    if method == "footage":
        values["method"] |= {"labelled": 1}
    if method == "selfcorrecting":
        values["data"]["semi"] = {"labelled": 0.34, "share": 0.5, "margin": 1}
        values["method"] |= {"fit": 2, "rounds": 1}
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return values
