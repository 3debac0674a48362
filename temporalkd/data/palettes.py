"""Palettes: which colour means which class, by name or from a file, for class maps that are stored as colours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from temporalkd.data.clip import IGNORE

Colour = tuple[int, int, int]

VOID = "void"
"""A colour of this name in a palette file is no class: its pixels are ignored."""
_LINE = re.compile(
    r"(?:#(?P<hex>[0-9a-fA-F]{6})|(?P<rgb>\d{1,3}(?:\s*,\s*|\s+)\d{1,3}(?:\s*,\s*|\s+)\d{1,3}))(?=[\s,]|$)"
)
_COMMENT = re.compile(r"#($|[\s#!])")


@dataclass(frozen=True)
class Palette:
    """Colours of classes, and colours that mean "ignore".

    Args:
        colours: RGB, 0 to 255, of class 0, 1, ...; at most 255.
        names: of the classes, as many.
        void: colours of pixels to ignore.
        name: what errors call it: its name or its file.
    Raises:
        ValueError: no or too many colours, a colour twice or out of range, not one name a colour.
    """

    colours: tuple[Colour, ...]
    names: tuple[str, ...]
    void: tuple[Colour, ...] = ()
    name: str = "palette"

    def __post_init__(self) -> None:
        if not 1 <= len(self.colours) <= IGNORE:
            raise ValueError(f"{self.name}: a palette has 1 to {IGNORE} colours of classes, got {len(self.colours)}")
        if len(self.names) != len(self.colours):
            raise ValueError(f"{self.name}: {len(self.names)} names for {len(self.colours)} colours")
        meaning: dict[Colour, str] = {}
        for colour, means in [
            *((c, f"class {index}") for index, c in enumerate(self.colours)),
            *((c, VOID) for c in self.void),
        ]:
            if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
                raise ValueError(f"{self.name}: {colour} is not a colour, expected r, g, b of 0 to 255")
            if colour in meaning:
                raise ValueError(f"{self.name}: {spelled(colour)} twice, as {meaning[colour]} and as {means}")
            meaning[colour] = means

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.colours)

    def indices(self, pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
        """The class of each pixel; 255 for void, -1 for a colour that the palette does not have.

        Shape:
            pixels: (H, W, 3), RGB.
        Returns:
            (H, W).
        """
        packed = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGRA).view("<u4")[..., 0]
        # The alpha that came with the fourth byte makes it one load a pixel; gone again, 24 bits are left.
        return np.take(_lookup(self), packed & 0xFFFFFF)


@lru_cache(maxsize=2)
def _lookup(palette: Palette) -> NDArray[np.int16]:
    """Of all 2^24 colours: 32 MiB, kept beside the palette so that no worker process is sent it."""
    table = np.full(2**24, -1, dtype=np.int16)
    for index, (red, green, blue) in [*enumerate(palette.colours), *((IGNORE, colour) for colour in palette.void)]:
        table[red << 16 | green << 8 | blue] = index
    return table


def spelled(colour: Iterable[int]) -> str:
    """A colour in errors, in both of the ways in which people look for it."""
    red, green, blue = (int(value) for value in colour)
    return f"colour #{red:02x}{green:02x}{blue:02x} ({red}, {green}, {blue})"


def _camvid() -> Palette:
    """The 11 evaluated classes.

    Source:
        Brostow, Fauqueur, Cipolla, PRL 2009; 11 classes of the SegNet tutorial.
    """
    classes: dict[str, Colour] = {
        "Sky": (128, 128, 128), "Building": (128, 0, 0), "Pole": (192, 192, 128), "Road": (128, 64, 128),
        "Sidewalk": (0, 0, 192), "Tree": (128, 128, 0), "Sign": (192, 128, 128), "Fence": (64, 64, 128),
        "Car": (64, 0, 128), "Pedestrian": (64, 64, 0), "Bicyclist": (0, 128, 192),
    }  # fmt: skip
    return Palette(tuple(classes.values()), tuple(classes), void=((0, 0, 0),), name="camvid")


def _cityscapes() -> Palette:
    """The 19 evaluated classes in the order of their train ids.

    Source:
        Cordts et al., CVPR 2016; cityscapesScripts, helpers/labels.py.
    """
    classes: dict[str, Colour] = {
        "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
        "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35), "terrain": (152, 251, 152),
        "sky": (70, 130, 180), "person": (220, 20, 60), "rider": (255, 0, 0), "car": (0, 0, 142),
        "truck": (0, 0, 70), "bus": (0, 60, 100), "train": (0, 80, 100), "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32),
    }  # fmt: skip
    return Palette(tuple(classes.values()), tuple(classes), void=((0, 0, 0),), name="cityscapes")


def _voc() -> Palette:
    """21 classes; the bits of the class number, three at a time, are the high bits of red, green and blue.

    Source:
        Everingham et al., IJCV 2010; VOCdevkit, VOCcode/VOClabelcolormap.m.
    """
    names = (
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    )  # fmt: skip

    def colour(index: int) -> Colour:
        red, green, blue = (sum((index >> 3 * i + c & 1) << 7 - i for i in range(8)) for c in range(3))
        return red, green, blue

    return Palette(tuple(colour(i) for i in range(len(names))), names, void=((224, 224, 192),), name="voc")


NAMED: dict[str, Callable[[], Palette]] = {"camvid": _camvid, "cityscapes": _cityscapes, "voc": _voc}


def palette(name_or_path: str | Path) -> Palette:
    """A palette by its name, or out of a file; a name is never a file, './name' and a `Path` always are.

    A text file has a line a class, "r g b [name]" or "#rrggbb [name]"; blank lines are skipped, and comments: '#' and
    a space. A .json file has a list of [r, g, b], or {"name": [r, g, b], ...}. A colour named 'void' is no class.

    Raises:
        ValueError: neither a known name nor a file, or a file with mistakes: names the file, and the line or entry.
    """
    if isinstance(name_or_path, str) and name_or_path.lower() in NAMED:
        return NAMED[name_or_path.lower()]()
    path = Path(name_or_path)
    if not path.is_file():
        raise ValueError(f"palette '{name_or_path}' is not known, expected one of {', '.join(NAMED)}, or a file")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file, expected a palette as lines 'r g b [name]' or as json") from error
    colours: list[Colour] = []
    names: list[str] = []
    void: list[Colour] = []
    for colour, name in _of_json(path, text) if path.suffix.lower() == ".json" else _of_lines(path, text):
        if name.lower() == VOID:
            void.append(colour)
        else:
            names.append(name or f"class {len(colours)}")
            colours.append(colour)
    return Palette(tuple(colours), tuple(names), tuple(void), str(path))


def _of_lines(path: Path, text: str) -> Iterator[tuple[Colour, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        found = _LINE.match(line)
        # '#80000' is no comment: a mistyped colour that was skipped would silently shift every class after it.
        if not line or _COMMENT.match(line):
            continue
        colour = None
        if found is not None:
            colour = _three(bytes.fromhex(found["hex"]) if found["hex"] else re.findall(r"\d+", found["rgb"]))
        if found is None or colour is None:
            raise ValueError(
                f"{path}, line {number}: {_short(line)}, expected 'r g b [name]' of 0 to 255, '#rrggbb [name]', or a "
                "comment: '#' and a space"
            )
        yield colour, re.split(r"(?:^|\s)#", line[found.end() :])[0].strip(" \t,")


def _of_json(path: Path, text: str) -> Iterator[tuple[Colour, str]]:
    try:
        # Pairs, not a dict, which would keep the last of two entries of one name.
        entries: Any = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not json ({error.msg})") from error
    if not isinstance(entries, list):
        raise ValueError(f'{path}: expected a list of [r, g, b], or {{"name": [r, g, b], ...}}')
    named = isinstance(entries, _Pairs)
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        name, value = entry if named else ("", entry)
        colour = _three(value) if isinstance(value, list) and all(type(v) is int for v in value) else None
        if colour is None:
            where = f"entry {_short(name)}" if named else f"entry {number}"
            raise ValueError(f"{path}, {where}: {_short(value)}, expected [r, g, b] of 0 to 255")
        if name and name in seen:
            raise ValueError(f"{path}, entry {_short(name)}: there twice")
        seen.add(name)
        yield colour, name.strip()


class _Pairs(list[Any]):
    """A json object."""


def _three(values: Iterable[Any]) -> Colour | None:
    numbers = [int(value) for value in values]
    if len(numbers) != 3 or min(numbers) < 0 or max(numbers) > 255:
        return None
    return numbers[0], numbers[1], numbers[2]


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
