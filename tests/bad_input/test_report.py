"""What `report` refuses: no page is left behind, and no folder for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.bad_input.support import Cases, must_be_refused, train, weights
from tests.cli_support import World

case = Cases()


def report(tmp: Path, *arguments: object, out: str = "new/page.html") -> list[Any]:
    return ["report", *arguments, "-o", tmp / out]


@case(1, "nowhere: no such run folder or .safetensors file")
def run_that_is_not_there(world: World, tmp: Path) -> list[Any]:
    return report(tmp, tmp / "nowhere")


@case(1, "nowhere: no such run folder or .safetensors file")
def second_run_that_is_not_there(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, tmp / "nowhere")


@case(1, "labels is not a run folder: it has no config.yaml")
def folder_of_maps_as_run(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.labels)


@case(1, "run has no student.safetensors: its training has not ended")
def run_that_has_not_ended(world: World, tmp: Path) -> list[Any]:
    (tmp / "run").mkdir()
    shutil.copy(world.run / "config.yaml", tmp / "run")
    return report(tmp, world.run, tmp / "run")


@case(1, "last.pt: expected a run folder or a .safetensors file")
def training_state_as_run(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, world.run / "checkpoints/last.pt")


@case(2, "student.safetensors is a checkpoint, not a run folder: name a config with --data")
def checkpoint_first_without_data(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run / "student.safetensors", world.run)


@case(1, "the runs have different classes: run 9, .* 5")
def runs_of_different_classes(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp, classes=5, class_names=[], palette=[], sha256=None)
    tensors = load_file(path)
    save_file({k: v[:5].clone() if k.startswith("head") else v for k, v in tensors.items()}, path)
    return report(tmp, world.run, path)


@case(2, "data.val: missing: there is nothing to evaluate on")
def data_without_val(world: World, tmp: Path) -> list[Any]:
    train(tmp, data={"val": None})
    return report(tmp, world.run, "--data", tmp / "config.yaml")


@case(2, "data.val has 4 classes, the network 9")
def data_of_other_classes(world: World, tmp: Path) -> list[Any]:
    names = [f"class {i}" for i in range(4)]
    footage = {"dataset": "folder", "images": str(world.frames), "labels": str(world.labels), "class_names": names}
    config = train(tmp, data={"val": footage}, evaluation={"flow": "dis"})[1]
    return report(tmp, world.run, "--data", config)


@case(2, "no config file .*nowhere.yaml")
def data_that_is_not_there(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, "--data", tmp / "nowhere.yaml")


@case(2, "unknown key data.val.lenght", "did you mean length")
def misspelt_setting(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, "--set", "data.val.lenght=3")


@case(2, "evaluation.flow: exact, but .*frames knows no exact motion")
def exact_flow_of_footage_without(world: World, tmp: Path) -> list[Any]:
    config = train(tmp, data={"val": {"dataset": "video", "path": str(world.frames)}})[1]
    return report(tmp, world.run, "--data", config)


@case(2, "--protocol", "'all', expected one of visible, unmasked")
def more_than_one_protocol(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, "--protocol", "all")


@case(2, "--flow", "'farneback', expected one of raft_small")
def unknown_flow(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, "--flow", "farneback")


@case(1, "the decay of a moving average is from 0 to below 1, got -0.5")
def decay_below_zero(world: World, tmp: Path) -> list[Any]:
    return report(tmp, world.run, "--ema", "-0.5")


@case(1, "page.html: a folder, expected the name of an html file")
def onto_a_folder(world: World, tmp: Path) -> list[Any]:
    (tmp / "page.html").mkdir()
    return report(tmp, world.run, out="page.html")


@case(1, "file/new/page.html: cannot be made, .*file is a file")
def below_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "file").write_text("")
    return report(tmp, world.run, out="file/new/page.html")


@case(2, "Missing argument 'RUN...'")
def no_run(world: World, tmp: Path) -> list[Any]:
    return report(tmp)


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
