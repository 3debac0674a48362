"""What `consistency` and `evaluate` refuse of other tools' class maps, of palettes, and of their options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.support import Cases, consistency, copied, must_be_refused, train, write_map_file
from tests.cli_support import SIZE, World

case = Cases()
PIXEL = (5, 7)  # row, column


def spoilt(world: World, tmp: Path, values: Any, at: Any = None) -> Path:
    """The labels, of which 002 is these values, or has `at` one pixel."""
    copied(world, tmp)
    values = np.array(values)
    if at is not None:
        values[PIXEL] = at
    Image.fromarray(values).save(tmp / "labels/002.png")
    return tmp / "labels"


# Names


@case(1, "2 frames without a map in .*labels, the first is '001', then '003'")
def several_predictions_missing(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    for name in ("001", "003"):
        (tmp / f"labels/{name}.png").unlink()
    return consistency(world, world.frames, tmp / "labels")


@case(1, "5 maps without a frame", "5 frames without a map", "frame '000' vs map '000_pred'", "has the suffix '_pred'")
def predictions_with_a_suffix(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    for path in sorted((tmp / "labels").iterdir()):
        path.rename(path.with_stem(f"{path.stem}_pred"))
    return consistency(world, world.frames, tmp / "labels")


@case(1, "1 maps without a frame in .*labels, the first is '02'; 1 frames without a map, the first is '002'")
def one_prediction_of_another_name(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    (tmp / "labels/002.png").rename(tmp / "labels/02.png")
    return consistency(world, world.frames, tmp / "labels")


@case(1, "labels: 002.bmp and 002.png claim the same frame")
def two_predictions_of_one_frame(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/002.bmp", np.zeros(SIZE))
    return consistency(world, world.frames, tmp / "labels")


@case(1, "labels: empty, expected class maps")
def predictions_as_jpeg(world: World, tmp: Path) -> list[Any]:
    (tmp / "labels").mkdir()
    write_map_file(tmp / "labels/000.jpg", np.zeros(SIZE))
    return consistency(world, world.frames, tmp / "labels")


# Values and colours


@case(1, "002.png: value 300 at row 5, column 7 .1 such pixels., expected one of 255 classes")
def sixteen_bits_out_of_range(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, spoilt(world, tmp, np.zeros(SIZE, np.uint16), 300))


@case(1, "002.png: value 9 at row 5, column 7 .*expected one of 9 classes .0 to 8.")
def sixteen_bits_beyond_the_classes(world: World, tmp: Path) -> list[Any]:
    maps = spoilt(world, tmp, np.zeros(SIZE, np.uint16), 9)
    return consistency(world, world.frames, maps, "--classes", 9)


@case(1, "002.png: value 255 at row 5, column 7 .*expected one of 255 classes")
def predictions_with_void(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, spoilt(world, tmp, np.zeros(SIZE, np.uint8), 255))


@case(1, "002.png: a colour image .mode RGB., expected class indices", "a palette that names its colours .--palette.")
def colours_without_a_palette(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, spoilt(world, tmp, np.zeros((*SIZE, 3), np.uint8)))


@case(1, r"002.png: colour #010203 \(1, 2, 3\) at row 5, column 7 \(1 such pixels\) is not in the palette camvid of 11")
def colour_outside_the_palette(world: World, tmp: Path) -> list[Any]:
    maps = spoilt(world, tmp, np.full((*SIZE, 3), 128, np.uint8), (1, 2, 3))
    return consistency(world, world.frames, maps, "--palette", "camvid")


@case(1, "002.png: value 255, colour #000000 .0, 0, 0., at row 5, column 7", "expected one of 11 classes")
def void_colour_in_predictions(world: World, tmp: Path) -> list[Any]:
    maps = spoilt(world, tmp, np.full((*SIZE, 3), 128, np.uint8), (0, 0, 0))
    return consistency(world, world.frames, maps, "--palette", "camvid", "--classes", 11)


@case(1, r"002.png: transparent \(alpha 9\) at row 5, column 7")
def transparent_colours(world: World, tmp: Path) -> list[Any]:
    values = np.full((*SIZE, 4), 128, np.uint8)
    values[..., 3] = 255
    maps = spoilt(world, tmp, values, (128, 128, 128, 9))
    return consistency(world, world.frames, maps, "--palette", "camvid")


@case(1, "palette 'kitti' is not known, expected one of camvid, cityscapes, voc, or a file")
def unknown_palette(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--palette", "kitti")


def palette(world: World, tmp: Path, name: str, content: str | bytes) -> list[Any]:
    (tmp / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return consistency(world, world.frames, None, "--palette", tmp / name)


@case(1, "mine.txt, line 3: '0 300 0 car', expected 'r g b")
def palette_with_a_colour_out_of_range(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.txt", "0 0 1 road\n\n0 300 0 car\n")


@case(1, "mine.txt, line 2: '#80000 car', expected 'r g b")
def palette_with_a_short_colour(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.txt", "#800000 road\n#80000 car\n")


@case(1, "mine.txt: colour #000001 .0, 0, 1. twice, as class 0 and as class 1")
def palette_with_a_colour_twice(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.txt", "0 0 1 road\n0 0 1 car\n")


@case(1, "mine.txt: a palette has 1 to 255 colours of classes, got 0")
def palette_without_colours(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.txt", "# nothing yet\n")


@case(1, "mine.txt: not a text file, expected a palette")
def palette_that_is_an_image(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.txt", (world.frames / "000.png").read_bytes())


@case(1, "mine.json, line 2: not json")
def palette_that_is_no_json(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.json", "[[1, 2, 3],\n[4, 5")


@case(1, "mine.json, entry 'car': .4, 5., expected .r, g, b. of 0 to 255")
def palette_with_a_half_entry(world: World, tmp: Path) -> list[Any]:
    return palette(world, tmp, "mine.json", '{"road": [1, 2, 3], "car": [4, 5]}')


# Options


@case(2, "--json and --csv: either one or the other")
def json_and_csv_of_consistency(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--json", "--csv")


@case(1, "the decay of a moving average is from 0 to below 1, got 1.5")
def decay_above_one(world: World, tmp: Path) -> list[Any]:
    return ["evaluate", world.run, "--ema", 1.5]


@case(1, "the decay of a moving average is from 0 to below 1, got nan")
def decay_that_is_no_number(world: World, tmp: Path) -> list[Any]:
    return ["evaluate", world.run, "--ema", "nan"]


@case(2, "'--ema'", "number")
def decay_that_is_a_word(world: World, tmp: Path) -> list[Any]:
    return ["evaluate", world.run, "--ema", "much"]


@case(2, "--protocol", "'everything'", "visible, unmasked, etc2020, vspw2021, varghese2020")
def protocol_beside_all(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--protocol", "all", "--protocol", "everything")


@case(2, "--flow", "'exact'", "raft_small, raft_large, dis, zero")
def exact_flow_of_images(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--flow", "exact")


@case(2, "evaluation.flow: exact, but .*frames knows no exact motion: raft_small or dis")
def exact_flow_of_footage_that_has_none(world: World, tmp: Path) -> list[Any]:
    train(tmp, data={"val": {"dataset": "video", "path": str(world.frames)}})
    return ["evaluate", world.run, "--data", tmp / "config.yaml", "--flow", "dis", "--flow", "exact"]


@case(1, "flow cache: .*cache is a file, expected a folder")
def cache_that_is_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "cache").write_text("mine")
    return consistency(world, world.frames)


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
