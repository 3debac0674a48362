"""Published data sets that are not where, or not as, they should be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.support import Cases, must_be_refused, write_map_file
from tests.cli_support import World, tiny_config, write_config
from tests.fake_data import SIZE, fake_cityscapes, fake_voc, fake_vspw

case = Cases()


def train_on(tmp: Path, dataset: str, root: str | None = "data", **section: Any) -> list[Any]:
    """Train on tmp/data, or on what is found below the data root."""
    made = {"dataset": dataset, **({"root": str(tmp / root)} if root else {}), **section}
    config = tiny_config(data={"val": None, "train": made}, training={"steps": 20})
    return ["train", write_config(tmp / "config.yaml", config), "-o", tmp / "out"]


@case(1, "data: cityscapes: no cityscapes and no .*data/cityscapes .*; Cityscapes has leftImg8bit/{split}/{city}/")
def cityscapes_is_nowhere(world: World, tmp: Path) -> list[Any]:
    return train_on(tmp, "cityscapes", None)


@case(1, "data: no such folder; VSPW has {train,val,test}.txt, .*set root to the folder that holds it")
def root_is_missing(world: World, tmp: Path) -> list[Any]:
    return train_on(tmp, "vspw")


@case(1, "data/leftImg8bit/train: no such folder; Cityscapes has leftImg8bit/{split}/{city}/")
def root_holds_something_else(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data")
    shutil.move(tmp / "data/leftImg8bit", tmp / "data/left")
    return train_on(tmp, "cityscapes")


@case(1, "data/JPEGImages: no such folder; PASCAL VOC has JPEGImages/")
def voc_root_holds_something_else(world: World, tmp: Path) -> list[Any]:
    fake_vspw(tmp / "data", {"train": 1})
    return train_on(tmp, "voc")


@case(1, "camvid.*CamVid has {split}/.*prepare_camvid.py")
def camvid_is_nowhere(world: World, tmp: Path) -> list[Any]:
    return train_on(tmp, "camvid", None)


@case(1, "data: the labels of split test are not public: set split to train or val")
def cityscapes_test_for_training(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data", "test")
    return train_on(tmp, "cityscapes", split="test")


@case(1, "split train_extra has coarse labels alone: set coarse to true")
def fine_labels_of_train_extra(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data", "train_extra")
    return train_on(tmp, "cityscapes", split="train_extra")


@case(1, "gtFine/train: no such folder; Cityscapes has")
def cityscapes_without_labels(world: World, tmp: Path) -> list[Any]:
    shutil.rmtree(fake_cityscapes(tmp / "data") / "gtFine")
    return train_on(tmp, "cityscapes")


@case(1, "hanover_000001_002357_leftImg8bit.png: an image without its label .1 such", "unpack the labels")
def one_label_is_missing(world: World, tmp: Path) -> list[Any]:
    shutil.rmtree(fake_cityscapes(tmp / "data") / "gtFine/train/hanover")
    return train_on(tmp, "cityscapes")


@case(1, "aachen_000000_000019_leftImg8bit.png: missing, the labelled frame of its snippet", "synthetic_motion to true")
def snippet_without_its_labelled_frame(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data", snippet=5)
    (tmp / "data/leftImg8bit_sequence/train/aachen/aachen_000000_000019_leftImg8bit.png").unlink()
    return train_on(tmp, "cityscapes")


@case(1, "frame.png: expected a name of the form city_sequence_frame_leftImg8bit.png|frame_leftImg8bit.png: expected")
def frame_of_another_name(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data", snippet=5)
    shutil.copy(world.frames / "000.png", tmp / "data/leftImg8bit_sequence/train/aachen/last_frame_leftImg8bit.png")
    return train_on(tmp, "cityscapes")


@case(1, "leftImg8bit/train: empty, expected .*_leftImg8bit.png in it; Cityscapes has")
def cityscapes_split_is_empty(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data")
    for folder in (tmp / "data/leftImg8bit/train").iterdir():
        shutil.rmtree(folder)
    return train_on(tmp, "cityscapes")


@case(1, "labelIds.png: value 200 at row 0, column 0 .*expected a Cityscapes label id, 0 to 33")
def unknown_label_id(world: World, tmp: Path) -> list[Any]:
    fake_cityscapes(tmp / "data", count=1)
    write_map_file(next((tmp / "data/gtFine/train/aachen").iterdir()), np.full(SIZE, 200))
    return train_on(tmp, "cityscapes")


@case(1, "train.txt, line 2: 'gone', but there is no .*data/gone/origin")
def video_in_the_list_alone(world: World, tmp: Path) -> list[Any]:
    listing = fake_vspw(tmp / "data", {"train": 1}) / "train.txt"
    listing.write_text(listing.read_text() + "gone\n")
    return train_on(tmp, "vspw")


@case(1, "train.txt: no such list, in its folder are val.txt; VSPW has")
def list_is_missing(world: World, tmp: Path) -> list[Any]:
    fake_vspw(tmp / "data", {"val": 1})
    return train_on(tmp, "vspw")


@case(1, "train.txt: empty, expected a name a line")
def list_is_empty(world: World, tmp: Path) -> list[Any]:
    (fake_vspw(tmp / "data", {"train": 1}) / "train.txt").write_text("\n")
    return train_on(tmp, "vspw")


@case(1, "test0_aBc-d_E/mask: no such folder: the labels of split test are not public")
def vspw_test_for_training(world: World, tmp: Path) -> list[Any]:
    fake_vspw(tmp / "data", {"test": 1})
    return train_on(tmp, "vspw", split="test")


@case(1, "mask/.*.png: value 254 .*expected 0 .others., 1 to 124 or 255 .void.")
def unknown_mask_value(world: World, tmp: Path) -> list[Any]:
    fake_vspw(tmp / "data", {"train": 1}, length=1)
    write_map_file(next((tmp / "data/data/train0_aBc-d_E/mask").iterdir()), np.full(SIZE, 254))
    return ["train", *train_on(tmp, "vspw")[1:], "--set", "data.frames=1"]


@case(1, "train.txt, line 1: '2007_000000', but there is no .*SegmentationClass/2007_000000.png")
def still_without_its_label(world: World, tmp: Path) -> list[Any]:
    fake_voc(tmp / "data", {"train": 1})
    (tmp / "data/VOCdevkit/VOC2012/SegmentationClass/2007_000000.png").unlink()
    return train_on(tmp, "voc")


@case(1, "SegmentationClassAug: no such folder; PASCAL VOC has")
def augmented_labels_are_missing(world: World, tmp: Path) -> list[Any]:
    fake_voc(tmp / "data", {"train": 1})
    return train_on(tmp, "voc", split="train_aug")


@case(1, r"2007_000000.png: colour #010203 \(1, 2, 3\) at row 0, column 0", "not in the palette voc")
def unknown_colour(world: World, tmp: Path) -> list[Any]:
    fake_voc(tmp / "data", {"train": 1})
    colours = np.full((*SIZE, 3), (1, 2, 3), np.uint8)
    Image.fromarray(colours).save(tmp / "data/VOCdevkit/VOC2012/SegmentationClass/2007_000000.png")
    return train_on(tmp, "voc")


@case(2, "data.train.split: expected 'train', 'val', 'trainval' or 'train_aug', got 'test'")
def split_of_another_name(world: World, tmp: Path) -> list[Any]:
    return train_on(tmp, "voc", split="test")


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
