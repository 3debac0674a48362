"""Bad input through the real entry point: one line that says what is wrong with what, and nothing is left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli_support import World, isolated, run_main, tiny_config, write_config

Make = Callable[[World, Path], list[Any]]


@dataclass
class Case:
    """`make` writes the bad input below a folder of its own and gives the command; `says` is found in the error."""

    make: Make
    code: int
    says: tuple[str, ...]


class Cases(dict[str, Case]):
    """A table of them, filled by decorating."""

    def __call__(self, code: int, *says: str) -> Callable[[Make], Make]:
        """Enter a case."""

        def enter(make: Make) -> Make:
            assert make.__name__ not in self
            self[make.__name__] = Case(make, code, says)
            return make

        return enter


def listing(folder: Path) -> dict[str, int]:
    """All files below a folder with their sizes, hidden ones too; the flow cache is not output."""
    found = {str(p.relative_to(folder)): p.stat().st_size if p.is_file() else -1 for p in folder.rglob("*")}
    return {name: size for name, size in found.items() if not name.startswith("cache")}


def message(err: str) -> str:
    """The one error line, or the text of a box of wrong usage."""
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    if not lines and "Usage:" in err:
        return " ".join(re.sub(r"[│╭╰─╮╯]", " ", err).split())
    assert len(lines) == 1, err
    assert err.rstrip().endswith(lines[0]), "the error comes last"
    return lines[0]


def must_be_refused(case: Case, world: World, tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the case's command."""
    arguments = [str(word) for word in case.make(world, tmp)]
    before, world_before = listing(tmp), listing(world.folder)
    with isolated(tmp / "cache", tmp):
        code = run_main(arguments)
    out, err = capsys.readouterr()
    said = message(err)
    for expected in case.says:
        assert re.search(expected, said), said
    assert code == case.code, said
    assert out == "", "stdout is for results"
    assert err.count("\n") == 1 or "Usage:" in err or arguments[0] in ("train", "render"), "one line and no more"
    assert "Traceback" not in err
    assert "--debug COMMAND" not in said, f"an error that nobody foresaw: {said}"
    assert listing(tmp) == before, "something was left behind"
    assert listing(world.folder) == world_before


# Commands


def consistency(world: World, frames: Path, predictions: Path | None = None, *more: object) -> list[Any]:
    maps = predictions or world.labels
    return ["consistency", "--frames", frames, "--predictions", maps, "--flow", "dis", *more]


def train(tmp: Path, *more: object, **sections: Any) -> list[Any]:
    return ["train", write_config(tmp / "config.yaml", tiny_config(**sections)), "-o", tmp / "out", *more]


def train_on_folder(tmp: Path, **sections: Any) -> list[Any]:
    """Train on tmp/frames and tmp/labels."""
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": "frames", "labels": "labels", "class_names": names}
    data = {"root": str(tmp), "train": footage, "val": None} | sections.pop("data", {})
    data = {key: value for key, value in data.items() if value is not None}
    config = tiny_config(**sections) | {"data": data}
    return ["train", write_config(tmp / "config.yaml", config), "-o", tmp / "out"]


def predict(world: World, tmp: Path, system: Path) -> list[Any]:
    return ["predict", system, world.frames, "-o", tmp / "out"]


def render(world: World, left: Path, out: Path, *more: object) -> list[Any]:
    return ["render", "--frames", world.frames, "--left", left, "--flow", "dis", "-o", out, *more]


# Files


def copied(world: World, tmp: Path) -> Path:
    """A folder with frames and labels that may be spoilt."""
    for name in ("frames", "labels"):
        shutil.copytree(world.folder / name, tmp / name)
    return tmp


def write_map_file(path: Path, values: Any) -> None:
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)


def weights(world: World, tmp: Path, **card: Any) -> Path:
    """A copy of the trained student whose json is changed."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(world.run / f"student{suffix}", tmp)
    path = tmp / "student.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | card))
    return tmp / "student.safetensors"
