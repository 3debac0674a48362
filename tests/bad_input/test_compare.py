"""Comparisons that cannot be made: found before anything is trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.support import Cases, must_be_refused
from tests.cli_support import MODEL, World, tiny_config, write_config

case = Cases()


def compare(tmp: Path, *configs: dict[str, Any], more: tuple[object, ...] = ()) -> list[Any]:
    """The configs are called a, b, ... where they have no name."""
    files = []
    for letter, sections in zip("abc", configs):
        files.append(write_config(tmp / f"{letter}.yaml", tiny_config(**{"name": letter, **sections})))
    return ["compare", *files, "-o", tmp / "out", *more]


@case(2, "a.yaml and .*b.yaml are both called 'same': give each a name of its own")
def two_of_one_name(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {"name": "same"}, {"name": "same"})


@case(2, "a.yaml: name: 'ceiling' cannot be that of a system's folder")
def named_like_a_reference(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {"name": "ceiling"})


@case(2, "a.yaml: name: '../up' cannot be that of a system's folder")
def named_like_a_path(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {"name": "../up"})


@case(2, "student.arguments.width: None in a, 12 in b: what is compared must have the same")
def other_students(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, {"student": {**MODEL, "arguments": {"width": 12}}})


@case(2, "data.val.seed: 9 in a, 10 in c: what is compared must have the same")
def other_footage(world: World, tmp: Path) -> list[Any]:
    val = tiny_config()["data"]["val"]
    return compare(tmp, {}, {}, {"data": {"val": {**val, "seed": 10}}})


@case(2, "evaluation.flow: 'exact' in a, 'dis' in b")
def other_measure(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, {"evaluation": {"flow": "dis"}})


@case(2, "method.class_weight: None in a, 'enet' in b")
def other_class_weights(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, {"method": {"class_weight": "enet"}})


@case(1, "b: teacher.weights: no nowhere.safetensors")
def missing_teacher(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, {"teacher": {"weights": "nowhere.safetensors"}, "method": {"name": "kd"}})


@case(2, "teacher.weights: missing: an untrained teacher teaches nothing")
def untrained_teacher(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, {"teacher": MODEL, "method": {"name": "kd"}})


@case(2, "a.yaml: data.val: missing: there is nothing to compare on")
def nothing_to_compare_on(world: World, tmp: Path) -> list[Any]:
    train = tiny_config()["data"]["train"]
    path = write_config(tmp / "a.yaml", tiny_config() | {"data": {"train": train}})
    return ["compare", path, "-o", tmp / "out"]


@case(1, "no .*frames", "TEMPORALKD_DATA|no-data-root")
def missing_data(world: World, tmp: Path) -> list[Any]:
    train = {"dataset": "folder", "images": "frames", "labels": "labels", "class_names": list("abcdefghi")}
    return compare(tmp, {}, {"data": {"train": train}})


@case(1, "term 'motion_consistency' needs clips of 2 frames")
def too_few_frames(world: World, tmp: Path) -> list[Any]:
    terms = [{"term": "motion_consistency"}]
    return compare(tmp, {}, {"data": {"frames": 1}, "method": {"name": "baseline", "terms": terms}})


@case(2, "method selfcorrecting learns from frames without labels, and there is none: set data.semi")
def no_frames_without_labels(world: World, tmp: Path) -> list[Any]:
    method = {"name": "selfcorrecting", "corrector": "none", "pixel": 0, "intra": 0}
    return compare(tmp, {}, {"method": method})


@case(2, "tiny/seed0 holds results of another config: it differs in training.lr: another -o, or delete it")
def changed_config(world: World, tmp: Path) -> list[Any]:
    shutil.copytree(world.run, tmp / "out" / "tiny" / "seed0")
    return compare(tmp, {"name": "tiny", "training": {"lr": 0.5}})


@case(2, "out holds results of other weights: b teacher.weights has changed: another -o, or delete it")
def changed_teacher(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").mkdir()
    (tmp / "out" / "inputs.json").write_text('{"b teacher.weights": "of before"}')
    teacher = {"weights": str(world.run / "student.safetensors")}
    return compare(tmp, {}, {"teacher": teacher, "method": {"name": "kd"}})


@case(1, "out is a file, expected a folder")
def into_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").write_text("")
    return compare(tmp, {})


@case(2, "Invalid value for '--seeds'")
def no_seeds(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, more=("--seeds", 0))


@case(2, "--ema 1: expected a decay from 0 to below 1")
def average_that_never_moves(world: World, tmp: Path) -> list[Any]:
    return compare(tmp, {}, more=("--ema", 1))


@case(2, "no config file")
def no_config(world: World, tmp: Path) -> list[Any]:
    return ["compare", tmp / "a.yaml", "-o", tmp / "out"]


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
