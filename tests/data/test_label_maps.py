"""Class maps: values, bits, colours and sizes, as they are read and written."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from temporalkd.data.label_maps import read_map, resize_map, write_map
from tests.data.test_image_folder import FIVE, INDICES, NOISE, save, save_png
from tests.properties import few, given, sizes, st


def test_void_and_mapping(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 1, 11], [11, 255, 7]], dtype=np.uint8))
    assert read_map(path, classes=8, void=(11, 255)).tolist() == [[0, 1, 255], [255, 255, 7]]
    assert read_map(path, classes=8, void=255, mapping={11: 1}).tolist() == [[0, 1, 1], [1, 255, 7]]
    assert read_map(path, classes=8, void=(11, 255), mapping={11: 1, 7: 255}).tolist() == [[0, 1, 1], [1, 255, 255]]
    assert read_map(path).tolist() == [[0, 1, 11], [11, 255, 7]]


def test_labels_of_few_and_many_bits(tmp_path: Path) -> None:
    four = save_png(tmp_path / "4.png", bytes([0, 0x01, 0x23, 0, 0x45, 0x6F]), 4, 2, bits=4)
    assert read_map(four, void=15).tolist() == [[0, 1, 2, 3], [4, 5, 6, 255]]
    two = save_png(tmp_path / "2.png", bytes([0, 0b00011011]), 4, 1, bits=2)
    assert read_map(two).tolist() == [[0, 1, 2, 3]]
    one = save_png(tmp_path / "1.png", bytes([0, 0b01010000]), 4, 1, bits=1)
    assert read_map(one).tolist() == [[0, 1, 0, 1]]
    sixteen = save(tmp_path / "16.png", np.array([[3, 65535]], dtype=np.uint16))
    assert read_map(sixteen, classes=4, void=65535).tolist() == [[3, 255]]
    with pytest.raises(ValueError, match=r"16\.png: value 65535 .* expected one of 4 classes"):
        read_map(sixteen, classes=4)


def test_colour_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.png: a colour image \(mode RGB\), expected class indices"):
        read_map(save(tmp_path / "c.png", NOISE))
    grey_alpha = save(tmp_path / "la.png", NOISE[..., :2].copy())
    for palette in (None, FIVE):
        with pytest.raises(ValueError, match=r"la\.png: a grey image with transparency \(mode LA\)") as error:
            read_map(grey_alpha, palette=palette)
        assert "--palette" not in str(error.value)


def test_colours_are_read_by_the_palette(tmp_path: Path) -> None:
    colours = np.array([*FIVE.colours, *FIVE.void], np.uint8)
    truth = np.random.default_rng(2).integers(0, 6, (24, 32))
    expected = torch.from_numpy(np.where(truth == 5, 255, truth).astype(np.uint8))
    opaque = np.dstack([colours[truth], np.full((24, 32), 255, np.uint8)])
    for path in (
        save(tmp_path / "rgb.png", colours[truth]),
        save(tmp_path / "rgba.png", opaque),
        save(tmp_path / "rgb.bmp", colours[truth]),
    ):
        assert torch.equal(read_map(path, classes=5, palette=FIVE), expected)
        # The number of the void class in index files does not matter to colours.
        assert torch.equal(read_map(path, classes=5, void=11, palette=FIVE), expected)
        replaced = read_map(path, classes=5, void=None, mapping={255: 3, 0: 1}, palette=FIVE)
        assert replaced.tolist() == np.select([truth == 5, truth == 0], [3, 1], truth).tolist()


@pytest.mark.parametrize("old", [(24, 32), (7, 5), (1, 3)])
@pytest.mark.parametrize("new", [(24, 32), (36, 48), (48, 64), (12, 16), (13, 29), (1, 1), (100, 3)])
def test_resized_maps_take_the_nearest_pixel(old: tuple[int, int], new: tuple[int, int]) -> None:
    labels = torch.arange(old[0] * old[1], dtype=torch.int32).reshape(old)
    resized = resize_map(labels, new)

    def wanted(axis: int) -> list[Fraction]:
        return [(i + Fraction(1, 2)) * old[axis] / new[axis] for i in range(new[axis])]

    rows, columns = wanted(0), wanted(1)
    expected = labels.numpy()[[math.floor(y) for y in rows]][:, [math.floor(x) for x in columns]]
    assert resized.tolist() == expected.tolist()
    # Pillow calculates in floating point: on the border of two pixels it takes either.
    clear = np.ix_([y.denominator != 1 for y in rows], [x.denominator != 1 for x in columns])
    pillow = np.asarray(Image.fromarray(labels.numpy()).resize(new[::-1], Image.Resampling.NEAREST))
    assert np.array_equal(resized.numpy()[clear], pillow[clear])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_written_maps_are_read_back(tmp_path: Path, dtype: torch.dtype) -> None:
    labels = torch.from_numpy(INDICES).to(dtype, copy=True)
    labels[0, 0] = 255
    write_map(tmp_path / "a.png", labels)
    assert torch.equal(read_map(tmp_path / "a.png", classes=5), labels.to(torch.uint8))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@few
@given(data=st.data(), size=sizes)
def test_class_maps_give_back_any_classes(data: Any, size: tuple[int, int], tmp_path: Path) -> None:
    count = size[0] * size[1]
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))).reshape(size)
    write_map(tmp_path / "a.png", labels)
    assert torch.equal(read_map(tmp_path / "a.png").long(), labels)
