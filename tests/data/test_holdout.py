"""The part of the labelled frames that is held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from temporalkd.config import ConfigError, parse
from temporalkd.config.build import footage
from temporalkd.data import ImageFolder
from temporalkd.data.camvid import CamVid
from temporalkd.data.holdout import SHARE, runs
from temporalkd.data.images import ImageFiles
from temporalkd.data.motion import MovedStill
from tests import tiny
from tests.fake_data import opened
from tests.tiny import fake_camvid


def files(counts: dict[str, int], labelled: set[int] | None = None) -> ImageFiles:
    """Names of sequences; all frames have labels unless said otherwise."""
    paths = [Path(f"{name}_{i:03d}.png") for name, count in counts.items() for i in range(count)]
    chosen = range(len(paths)) if labelled is None else labelled
    return ImageFiles("folder", paths, {i: paths[i] for i in chosen})


def indices(folder: ImageFiles, split: Any) -> list[list[int]]:
    return [run for _, run in runs([folder], split)]


def test_by_hand() -> None:
    folder = files({"a": 20, "b": 9, "c": 11})
    assert indices(folder, "holdout") == [[9, 10], [34]]
    ranges = [(0, 8), (12, 20), (20, 29), (29, 33), (36, 40)]
    assert indices(folder, "fit") == [[*range(*bounds)] for bounds in ranges]
    assert indices(folder, "all") == [[*range(40)]]


@pytest.mark.parametrize("counts", [{"a": 62, "b": 101, "c": 204}, {"": 10}, {"x_1": 33, "x_2": 19}])
def test_parts_are_apart(counts: dict[str, int]) -> None:
    folder = files(counts)
    held, fit = ([i for run in indices(folder, split) for i in run] for split in ("holdout", "fit"))
    assert len(held) == sum(count // SHARE for count in counts.values())
    assert len(held) + len(fit) == len(folder) - 2 * len(counts), "one still on each side belongs to neither"
    assert min(abs(a - b) for a in held for b in fit) == 2


def test_frames_without_labels_between_those_with() -> None:
    folder = files({"a": 100}, set(range(0, 100, 5)))
    assert indices(folder, "holdout") == [[*range(45, 51)]], "two labelled frames, and what lies between"
    assert indices(folder, "fit") == [[*range(40)], [*range(56, 100)]]


def test_of_several_folders_each_is_a_sequence() -> None:
    folders = [files({"a": 6, "b": 6}), files({"a": 6})]
    assert [run for _, run in runs(folders, "holdout")] == [[5]]
    with pytest.raises(ValueError, match=r"holdout, but folder has no sequence of 10"):
        runs([files({"a": 9, "b": 9})], "holdout")


def test_camvid(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path / "camvid", {"train": 12})
    whole, every = opened(CamVid, root, "train"), opened(CamVid, root, "all")
    fit, held = opened(CamVid, root, "fit"), opened(CamVid, root, "holdout")
    names = [[source.name for source in data.sources] for data in (whole, every, fit, held)]
    assert names[0] == names[1] and len(names[0]) == 12 and len(names[2]) == 9 and len(names[3]) == 1
    assert set(names[2]) < set(names[0]) and not set(names[2]) & set(names[3])
    first = dict(zip(names[0], whole.sources))
    for source in (*fit.sources, *held.sources):
        assert torch.equal(source.frame(0), first[source.name].frame(0)), "a still moves alike in every part"
    assert len(opened(CamVid, root, "fit", synthetic_motion=False).sources) == 2, "no pair reaches across"


def test_what_is_held_out_moves_alike_for_every_seed(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path / "camvid", {"train": 10})
    held, fit = (CamVid(root=str(root), split=split) for split in ("holdout", "fit"))
    frames = [[footage(data, None, seed).sources[0].frame(0) for seed in (0, 1)] for data in (held, fit)]
    assert torch.equal(*frames[0]) and not torch.equal(*frames[1])


def test_folders(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path / "camvid", {"train": 20})
    section = {"dataset": "folder", "images": str(root / "train"), "labels": str(root / "trainannot"), "void": 11}
    section["class_names"] = [str(i) for i in range(11)]
    values = tiny.config(tmp_path)
    values["data"] |= {"train": section | {"split": "fit"}, "val": section | {"split": "holdout"}}
    config = parse(values, "test")
    assert config.data.val is not None
    assert [len(s) for s in footage(config.data.train, None, 0).sources] == [8, 8]
    assert [len(s) for s in footage(config.data.val, None, 0).sources] == [2]
    clips = ImageFolder(root / "train", root / "trainannot", void=11, split="holdout", synthetic_motion=True)
    assert len(clips) == 2 and all(isinstance(s, MovedStill) for s in clips.sources)


@pytest.mark.parametrize("dataset", ["voc", "street"])
def test_other_data_has_no_such_part(tmp_path: Path, dataset: str) -> None:
    values = tiny.config(tmp_path)
    values["data"]["train"] = {"dataset": dataset, "split": "fit"}
    with pytest.raises(ConfigError, match=r"data\.train\.split"):
        parse(values, "test")
