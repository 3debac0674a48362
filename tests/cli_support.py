"""What the tests of the command line share: a small world of footage, predictions and one trained run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from PIL import Image
from torch import nn

from temporalkd import cli
from temporalkd.data.label_maps import write_map
from temporalkd.data.street import CLASSES, Street
from temporalkd.visualization import VideoWriter

ROOT = Path(__file__).parents[1]
SIZE = (64, 80)
LENGTH = 5


class TinyNetwork(nn.Module):
    """The smallest network that fulfils the contract: two convolutions at stride 4, and a module that is not called."""

    def __init__(self, classes: int, width: int = 8):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 5, stride=4, padding=2), nn.ReLU())
        self.head = nn.Conv2d(width, classes, 1)
        self.unused = nn.Identity()

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.head(self.body(x))


MODEL: dict[str, Any] = {
    "architecture": "tests.cli_support:TinyNetwork",
    "roles": {"native": "head", "head": "body", "low": ["body"]},
    "normalisation": {"divisor": 4},
}


def tiny_config(**sections: Any) -> dict[str, Any]:
    """A config of two steps on synthetic streets; a section given is joined to it, None takes it away."""
    street = {"dataset": "street", "count": 1, "length": LENGTH, "size": list(SIZE)}
    config: dict[str, Any] = {
        "name": "tiny",
        "data": {"train": street, "val": {**street, "seed": 9}, "frames": 2},
        "student": MODEL,
        "method": {"name": "baseline"},
        "training": {"steps": 2, "batch": 2, "accelerator": "cpu"},
        "evaluation": {"flow": "exact"},
    }
    for name, section in sections.items():
        old = config.get(name)
        config[name] = {**old, **section} if isinstance(old, dict) and isinstance(section, dict) else section
    return {name: section for name, section in config.items() if section is not None}


def write_config(path: Path, config: dict[str, Any]) -> Path:
    """The config as a file."""
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def write_frames(folder: Path, size: tuple[int, int] = SIZE, length: int = LENGTH) -> Path:
    """folder/frames and folder/labels of a street."""
    street = Street(seed=3, length=length, size=size)
    for name in ("frames", "labels"):
        (folder / name).mkdir(parents=True)
    for index, frame in enumerate(street.frames()):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / "frames" / f"{index:03d}.png")
        write_map(folder / "labels" / f"{index:03d}.png", street.label(index))
    return folder


@dataclass
class World:
    """Valid input of every kind. Nobody writes here."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / name


def make_world(folder: Path) -> World:
    """frames, labels, video.mp4, one.mp4 (a single frame), config.yaml, and `run`, two steps of training."""
    world = World(folder)
    if (folder / "run" / "student.safetensors").is_file():
        return world
    write_frames(folder)
    with VideoWriter(folder / "video.mp4", fps=10) as writer:
        for frame in Street(seed=3, length=LENGTH, size=SIZE).frames():
            writer.write(frame)
    with VideoWriter(folder / "one.mp4", fps=10) as writer:
        writer.write(Street(seed=3, length=1, size=SIZE).frame(0))
    config = write_config(folder / "config.yaml", tiny_config())
    with isolated(folder / "cache", folder):
        code = run_main(["train", str(config), "-o", str(folder / "run")])
    assert code == 0, "the tiny run must train"
    assert len(CLASSES) == 9
    return world


@contextmanager
def isolated(cache: Path, cwd: Path) -> Iterator[None]:
    """No data root, a flow cache of its own, another working folder."""
    nothing = cwd / "no-data-root"
    before = Path.cwd()
    with patch.dict(os.environ, {"TEMPORALKD_CACHE": str(cache), "TEMPORALKD_DATA": str(nothing)}):
        os.chdir(cwd)
        try:
            yield
        finally:
            os.chdir(before)


def run_main(arguments: list[str]) -> int:
    """The entry point itself, in this process; its exit code."""
    with patch.object(sys, "argv", ["temporalkd", *arguments]), pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def listing(folder: Path) -> dict[str, int]:
    """All files below a folder with their sizes, hidden ones too; the flow cache is not output."""
    found = {str(p.relative_to(folder)): p.stat().st_size if p.is_file() else -1 for p in folder.rglob("*")}
    return {name: size for name, size in found.items() if not name.startswith("cache")}


def results(out: str) -> list[dict[str, Any]]:
    """The rows of `--json`: stdout holds one object and nothing else."""
    return json.loads(out)["results"]
