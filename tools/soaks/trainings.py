"""Trainings of a few steps that use all that a killed run could lose, and what two of them must have alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from soaks.network import ROLES, Small, model
from temporalkd.data.street import CLASSES
from temporalkd.methods import METHODS
from temporalkd.models import ModelSpec, Normalisation, Segmenter, save_segmenter

SIZE = [48, 64]
FRAMES = {"etc": 3, "multilevel": 2, "stckd": 2}
CLOCK = ("seconds", "waited")


def write_config(folder: Path, method: str, workers: int = 0, processes: int = 1) -> Path:
    """folder/METHOD-WORKERS-PROCESSES.yaml, and beside it the teachers that it names."""
    folder.mkdir(parents=True, exist_ok=True)
    street = {"dataset": "street", "length": 5, "size": SIZE}
    data: dict[str, Any] = {
        "train": {**street, "count": 2, "seed": 1},
        "val": {**street, "count": 1, "length": 2, "seed": 8},
        "frames": FRAMES.get(method, 1),
    }
    training = {"steps": 4, "batch": 2, "lr": 0.01, "log_every": 1, "checkpoint_every": 2, "evaluate_every": 3}
    values: dict[str, Any] = {
        "name": method,
        "seed": 3,
        "data": data,
        "student": model(),
        "method": {"name": method},
        "training": {**training, "gradient_norms_every": 2, "workers": workers, "devices": processes},
        "evaluation": {"flow": "exact"},
    }
    values["training"]["accelerator"] = "cpu"
    if method != "baseline":
        values["teacher"] = {"weights": _teacher(folder / "teacher.safetensors", 12)}
    if method == "kd":
        values["teacher"]["cached"] = True
    else:
        data |= {"jitter": 0.3, "crop": [40, 48], "scale": [0.8, 1.4]}
    if method == "footage":
        data["unlabelled"] = {**street, "count": 1, "seed": 7}
    if method == "stckd":
        values["second_teacher"] = {"weights": _teacher(folder / "second.safetensors", 10)}
        values["method"] |= {"width": 8}
    if method == "selfcorrecting":
        data["semi"] = {"labelled": 0.34, "share": 0.5, "margin": 1}
        values["method"] |= {"fit": 2, "rounds": 2, "corrector": "conv"}
    path = folder / f"{method}-{workers}-{processes}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def _teacher(path: Path, width: int) -> str:
    if not path.is_file():
        torch.manual_seed(width)
        spec = ModelSpec("soaks.network:Small", len(CLASSES), {"width": width}, Normalisation(divisor=8), dict(ROLES))
        network = Segmenter(Small(spec.classes, width), spec.classes, spec.roles, spec.normalisation)
        save_segmenter(network, spec, path, {})
    return str(path)


def differences(one: Path, other: Path) -> Iterator[str]:
    """Names of what is not the same, bit for bit, in two finished run folders; the clock aside."""
    names = ["student.safetensors", "student.json", "metrics.csv", "evaluation.json"]
    pseudo = {str(p.relative_to(f)) for f in (one, other) for p in f.glob("pseudo/**/*") if p.is_file()}
    for name in [*names, *sorted(pseudo)]:
        files = [folder / name for folder in (one, other)]
        if not all(file.is_file() for file in files) or files[0].read_bytes() != files[1].read_bytes():
            yield name
    if _records(one) != _records(other):
        yield "log.jsonl"
    for name in ("last.pt", "best.pt"):
        states = [torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (one, other)]
        if not _same(*states):
            yield name
    for folder in (one, other):
        yield from (f"{path} was left behind" for path in folder.rglob(".*part*"))


def _records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def all_methods() -> list[str]:
    """Names of the methods that a config may have."""
    return list(METHODS)
