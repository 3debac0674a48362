"""An installed package offers a method, a loss, a data set and a flow estimator by their own names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests import tiny

ROOT = Path(__file__).parents[2]
PACKAGE = """
from typing import Literal

import flow
import torch
from temporalkd.data.footage import DEFAULT, DatasetOptions, Footage, Setting
from temporalkd.data.footage import register as register_dataset
from temporalkd.data.street import CLASSES, streets
from temporalkd.methods import LossTerm, MethodOptions, WeightedLoss, register, register_term
from temporalkd.methods.spatial_terms import CrossEntropy
from temporalkd.methods.temporal_terms import MotionConsistency


@register_term("confidence")
class Confidence(LossTerm):
    def forward(self, context):
        probs = context.student.probs(context.clip.anchor)
        return -(probs * probs.clamp(min=1e-8).log()).sum(1).mean()


@register
class Steadier(MethodOptions):
    name: Literal["steadier"] = "steadier"
    motion: float = 1.0
    rows = {"plain": {"motion": 0.0}}

    def losses(self):
        plain = WeightedLoss("cross_entropy", CrossEntropy(self.class_weight))
        return [plain, WeightedLoss("motion_consistency", MotionConsistency(), self.motion)]


@register_dataset
class Avenue(DatasetOptions):
    dataset: Literal["avenue"] = "avenue"
    count: int = 1

    def open(self, setting: Setting = DEFAULT) -> Footage:
        return Footage(streets(self.count, setting.seed, length=6, size=(48, 64)), CLASSES)


@flow.register("pan")
class Pan(flow.FlowEstimator):
    def __init__(self, pixels: float = 0.0):
        super().__init__("pan")
        self.pixels = pixels
        self.freeze({"pixels": pixels})

    def encode(self, frames):
        return frames

    def match(self, source, target):
        return torch.full((source.shape[0], 2, *source.shape[2:]), self.pixels)
"""
POINTS = """
[temporalkd.methods]
steadier = outside
[temporalkd.datasets]
avenue = outside
[temporalkd.flow]
pan = outside
"""


def test_what_a_package_registers_is_trained(tmp_path: Path) -> None:
    info = tmp_path / "outside-0.1.dist-info"
    info.mkdir()
    (tmp_path / "outside.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(POINTS)
    values = tiny.config(tmp_path)
    values["data"] = {"train": {"dataset": "avenue", "count": 2}, "frames": 2}
    values["method"] = {"name": "steadier", "motion": 2.0, "terms": [{"term": "confidence", "weight": 0.1}]}
    values["flow"] = {"kind": "pan", "options": {"pixels": 1.0}}
    values["training"]["steps"] = 2
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from temporalkd.cli import main; main()",
            "train",
            str(tmp_path / "c.yaml"),
            "-o",
            str(tmp_path / "run"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and {"cross_entropy", "motion_consistency", "confidence"} <= last.keys()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]["train"]["count"] == 2
