"""Palettes: known colours, files in every spelling, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from temporalkd.data import camvid
from temporalkd.data.palettes import NAMED, Palette, palette


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "classes", "colours", "void"),
    [
        ("camvid", 11, {"Sky": (128, 128, 128), "Bicyclist": (0, 128, 192)}, (0, 0, 0)),
        ("cityscapes", 19, {"road": (128, 64, 128), "person": (220, 20, 60), "bicycle": (119, 11, 32)}, (0, 0, 0)),
        ("voc", 21, {"background": (0, 0, 0), "person": (192, 128, 128), "tvmonitor": (0, 64, 128)}, (224, 224, 192)),
    ],
)
def test_named(name: str, classes: int, colours: dict[str, tuple[int, int, int]], void: tuple[int, int, int]) -> None:
    found = palette(name)
    assert (len(found), found.void, found.name) == (classes, (void,), name)
    named = dict(zip(found.names, found.colours, strict=True))
    assert {k: named[k] for k in colours} == colours
    assert palette(name.upper()) == found


def test_camvid_is_the_data_set_s_own() -> None:
    assert (palette("camvid").colours, palette("camvid").names) == (camvid.PALETTE, camvid.CLASSES)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_colour_is_found_and_no_other(name: str) -> None:
    found = palette(name)
    known = {c: i for i, c in enumerate(found.colours)} | dict.fromkeys(found.void, 255)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    pixels[::3, ::2] = np.array(list(known))[np.random.default_rng(1).integers(0, len(known), (14, 25))]
    expected = [[known.get((r, g, b), -1) for r, g, b in row] for row in pixels.tolist()]
    assert found.indices(pixels).tolist() == expected
    # A view on a part, neither contiguous nor aligned.
    assert found.indices(pixels[3:, 1::2]).tolist() == [row[1::2] for row in expected[3:]]


def test_text_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.txt",
        "\ufeff# r g b name\n\n#\n  128 0 0   car park  # reddish\n#00fF80 tree\n#112233\n1,2,3\n4, 5, 6, road\n"
        "## done\n0 0 0 VOID\n#ffffff void\n7 8 9 # x\n",
    )
    assert palette(path) == Palette(
        ((128, 0, 0), (0, 255, 128), (17, 34, 51), (1, 2, 3), (4, 5, 6), (7, 8, 9)),
        ("car park", "tree", "class 2", "class 3", "road", "class 5"),
        ((0, 0, 0), (255, 255, 255)),
        str(path),
    )
    assert palette(str(path)) == palette(path)


def test_json_files(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json", "[[1, 2, 3], [4, 5, 6]]")
    assert palette(path) == Palette(((1, 2, 3), (4, 5, 6)), ("class 0", "class 1"), (), str(path))
    write(path, json.dumps({"road": [1, 2, 3], "void": [0, 0, 0], "sky": [4, 5, 6]}))
    assert palette(path) == Palette(((1, 2, 3), (4, 5, 6)), ("road", "sky"), ((0, 0, 0),), str(path))


def test_unknown_name_and_path(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^palette 'kitti' is not known, expected one of camvid, cityscapes, voc, or a file$"
    ):
        palette("kitti")
    with pytest.raises(ValueError, match="or a file"):
        palette(tmp_path)
    with pytest.raises(ValueError, match="or a file"):
        palette("")
    # A `Path` is a file, never a name.
    with pytest.raises(ValueError, match="palette 'voc' is not known"):
        palette(Path("voc"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.txt", "1 2 3\n\n1 2\n", r"p\.txt, line 3: '1 2', expected 'r g b \[name\]'"),
        ("p.txt", "1 2 3 4\n1 2 3", "twice, as class 0 and as class 1"),
        # Mistyped colours are not comments.
        ("p.txt", "#12345 road", "line 1: '#12345 road'.*a comment: '#' and a space"),
        ("p.txt", "", r"p\.txt: a palette has 1 to 255 colours of classes, got 0"),
        ("p.json", "[[1, 2, 3],\n[4, 5", r"p\.json, line 2: not json"),
        ("p.json", "[[1, 2, 3], [1, 2, 256]]", r"p\.json, entry 1: \[1, 2, 256\], expected \[r, g, b\] of 0 to 255"),
        ("p.json", '{"road": "red"}', "entry 'road': 'red', expected"),
    ],
)
def test_files_with_mistakes(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        palette(write(tmp_path / name, text))
    assert name in str(error.value)
    assert "\n" not in str(error.value)
