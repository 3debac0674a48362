"""Run folders that cannot be used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.support import Cases, must_be_refused, train
from tests.cli_support import World

case = Cases()


@case(1, "empty is not a run folder: it has no config.yaml")
def run_without_config(world: World, tmp: Path) -> list[Any]:
    (tmp / "empty").mkdir()
    return ["evaluate", tmp / "empty"]


@case(1, "labels is not a run folder: it has no config.yaml; .* temporalkd consistency --predictions")
def folder_of_maps_as_run(world: World, tmp: Path) -> list[Any]:
    return ["evaluate", world.labels]


@case(1, "run has no student.safetensors: its training has not ended")
def run_without_student(world: World, tmp: Path) -> list[Any]:
    (tmp / "run").mkdir()
    shutil.copy(world.run / "config.yaml", tmp / "run")
    return ["evaluate", tmp / "run"]


@case(1, "run already holds a run: --resume it, or name another folder")
def train_into_a_run(world: World, tmp: Path) -> list[Any]:
    return ["train", world.folder / "config.yaml", "-o", world.run]


@case(1, "out is a file, expected a folder")
def train_into_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").write_text("")
    return train(tmp)


@case(1, "out is not a run folder: nothing to resume")
def nothing_to_resume(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").mkdir()
    (tmp / "out" / "letter.txt").touch()
    return train(tmp, "--resume")


@case(2, "config.yaml differs from the config given in training.lr", "resume with the same")
def resume_with_another_config(world: World, tmp: Path) -> list[Any]:
    shutil.copytree(world.run, tmp / "out")
    return train(tmp, "--resume", training={"lr": 0.5})


@case(1, "last.pt is damaged or not a checkpoint")
def resume_from_a_damaged_checkpoint(world: World, tmp: Path) -> list[Any]:
    shutil.copytree(world.run, tmp / "out")
    for name in ("last", "previous"):
        (tmp / f"out/checkpoints/{name}.pt").write_bytes(b"nothing")
    return train(tmp, "--resume")


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
