"""Class maps: image files that hold indices, or the colours of a palette; read, resized and written."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from temporalkd.data.clip import IGNORE
from temporalkd.data.images import ImageFault, opened
from temporalkd.data.palettes import Palette, spelled

_INDEXED = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")


def _read_indices(path: Path, palette: Palette | None) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """(H, W) values of any integer type, and the colours (H, W, 3) that they were, if they were colours."""
    if path.suffix.lower() == ".npy":
        return _array(path), None
    with opened(path) as image:
        mode, (bits, is_grey) = image.mode, _png_head(path)
        if mode == "P" and palette is not None and _has_colours(image):
            image = image.convert("RGB")
            mode = "RGB"
        is_colour = mode in ("RGB", "RGBA")
        if mode not in _INDEXED and (palette is None or not is_colour or bits > 8):
            raise ImageFault(f"{path}: {_not_a_map(mode, bits, palette)}")
        values = np.asarray(image)
    if palette is None or not is_colour:
        # Decoding stretches grey PNGs of 2 and 4 bits to 0..255.
        return (values // {2: 85, 4: 17}[bits] if mode == "L" and is_grey and bits in (2, 4) else values), None
    if mode == "RGBA":
        _require_opaque(path, values[..., 3])
    colours = values[..., :3]
    indices = palette.indices(colours)
    if indices.min() < 0:
        raise ImageFault(f"{path}: {_unknown_colour(colours, indices < 0, palette)}")
    return indices.astype(np.uint8), colours


def _array(path: Path) -> NDArray[Any]:
    """A class map saved by numpy."""
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: not a readable .npy file ({error})") from error
    if values.ndim != 2 or values.dtype.kind not in "uib" or not values.size:
        raise ValueError(f"{path}: {values.dtype} {values.shape}, expected class numbers as integers (H, W)")
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def _has_colours(image: Image.Image) -> bool:
    """Whether the colour table of an indexed image names colours, and not just the grey of each number."""
    table = np.asarray(image.getpalette("RGB") or [], dtype=np.int64).reshape(-1, 3)
    used = np.unique(np.asarray(image))
    return bool((used < len(table)).all() and (table[used] != used[:, None]).any())


def _png_head(path: Path) -> tuple[int, bool]:
    """(bits of a sample, whether it is grey), which decoding does not tell; (8, False) of any other file."""
    with path.open("rb") as file:
        head = file.read(26)
    return (head[24], head[25] == 0) if head.startswith(b"\x89PNG") and len(head) == 26 else (8, False)


def _not_a_map(mode: str, bits: int, palette: Palette | None) -> str:
    what = "a grey image with transparency" if mode in ("LA", "La") else "a colour image"
    expected = "class indices: a grey or palette PNG whose values are the class numbers"
    if mode in ("RGB", "RGBA"):
        deep = f" of {bits} bits" if bits > 8 else ""
        with_palette = (
            "or colours of 8 bits" if palette is not None else "or a palette of its colours (palette, --palette)"
        )
        return f"{what} (mode {mode}){deep}, expected {expected}, {with_palette}"
    return f"{what} (mode {mode}), expected {expected}"


def _require_opaque(path: Path, alpha: NDArray[np.uint8]) -> None:
    """What a half transparent pixel means is anyone's guess: its own colour, or void, or what is behind it."""
    if alpha.min() < 255:
        (row, column), count = np.argwhere(alpha < 255)[0], int((alpha < 255).sum())
        raise ImageFault(
            f"{path}: transparent (alpha {alpha[row, column]}) at row {row}, column {column} ({count} such pixels), "
            "expected opaque colours of classes"
        )


def _unknown_colour(colours: NDArray[np.uint8], unknown: NDArray[np.bool_], palette: Palette) -> str:
    row, column = np.argwhere(unknown)[0]
    colour = colours[row, column]
    count = int((colours == colour).all(-1).sum())
    others = len(np.unique(colours[unknown].astype(np.int32) @ (1 << 16, 1 << 8, 1))) - 1
    more = f"; nor are {others} other colours, {int(unknown.sum())} pixels in all" if others else ""
    return (
        f"{spelled(colour)} at row {row}, column {column} ({count} such pixels) is not in the palette {palette.name} "
        f"of {len(palette)} classes{more}"
    )


def class_table(
    classes: int | None = None,
    void: int | Iterable[int] | None = 255,
    mapping: Mapping[int, int] | None = None,
    palette: Palette | None = None,
) -> NDArray[np.int64]:
    """Lookup from the value in a file to a class; -1 where the value is not allowed.

    `mapping` goes first and leaves values that it does not name as they are; `void` values become 255. So do the void
    colours of a `palette`, unless `void` is None: then nothing may be void.
    """
    void = () if void is None else (void,) if isinstance(void, int) else tuple(void)
    if palette is not None and void:
        void = (*void, IGNORE)
    table = np.full(2**16, -1, dtype=np.int64)
    count = IGNORE if classes is None else classes
    if not 1 <= count <= IGNORE:
        raise ValueError(f"classes must be 1 to {IGNORE}, got {classes}")
    table[:count] = np.arange(count)
    for value, target in [(value, IGNORE) for value in void] + list((mapping or {}).items()):
        if not 0 <= value < len(table):
            raise ValueError(f"a label value must be 0 to {len(table) - 1}, got {value}")
        if not (0 <= target < count or target == IGNORE):
            raise ValueError(f"mapping {value} -> {target}: expected a class 0 to {count - 1}, or 255 to ignore")
        table[value] = target
    return table


def read_map(
    path: Path,
    *,
    classes: int | None = None,
    void: int | Iterable[int] | None = 255,
    mapping: Mapping[int, int] | None = None,
    palette: Palette | None = None,
    table: NDArray[np.int64] | None = None,
    expected: str | None = None,
) -> Tensor:
    """Read a class map as (H, W) uint8: indices of a grey or palette image, 255 where ignored.

    Args:
        classes: number of classes; None allows 0 to 254.
        void: value or values in the file that mean "ignore".
        mapping: value in the file -> class, before anything else; values that it does not name stay as they are.
        palette: allows colour images too; the value of a pixel is then the class of its colour, 255 if that is void.
        table: what `class_table` made of the four, to be made once for many files.
        expected: which values there may be, for messages, where a mapping makes that other than the classes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unreadable, colours without or outside the palette, not opaque, or a value out of range; names
            file, value or colour, and pixel.
    """
    table = class_table(classes, void, mapping, palette) if table is None else table
    values, colours = _read_indices(path, palette)
    if values.dtype != np.uint8 and values.min() >= 0 and values.max() < 256:
        values = values.astype(np.uint8)
    mapped = _mapped_bytes(values, table) if values.dtype == np.uint8 else _mapped(values, table)
    if mapped is None:
        outside = (values < 0) | (values >= len(table))
        wrong = outside | (table[np.where(outside, 0, values)] < 0)
        row, column = np.argwhere(wrong)[0]
        colour = "" if colours is None else f", {spelled(colours[row, column])},"
        allowed = int((table[:IGNORE] == np.arange(IGNORE)).sum()) if classes is None else classes
        raise ValueError(
            f"{path}: value {values[row, column]}{colour} at row {row}, column {column} ({wrong.sum()} such pixels), "
            f"expected {expected or f'one of {allowed} classes (0 to {allowed - 1}) or a declared void value'}"
        )
    return torch.from_numpy(mapped)


def _mapped_bytes(values: NDArray[np.uint8], table: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    """`table` of the values, None if one is not allowed. Every map goes through here: as few passes as can be."""
    used = np.arange(int(values.max()) + 1)
    if (table[used] < 0).any():
        used = np.flatnonzero(cv2.calcHist([values], [0], None, [256], [0, 256]))
        if (table[used] < 0).any():
            return None
    if (table[used] == used).all():
        return values.copy()
    return np.asarray(cv2.LUT(values, table[:256].astype(np.uint8)), dtype=np.uint8)


def _mapped(values: NDArray[Any], table: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    """The same for values of more than 8 bits."""
    if values.min() < 0 or values.max() >= len(table):
        return None
    mapped = table[values]
    return None if mapped.min() < 0 else mapped.astype(np.uint8)


def resize_map(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest neighbour, pixel centres aligned.

    In whole numbers: where a centre falls on the border of two pixels, Pillow and OpenCV take now one, now the other.

    Args:
        labels: (H, W) class map.
        size: (H, W) to be had; pixel i of n shows pixel floor((i + 1/2) * old / n).
    """
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, labels.shape))
    return torch.from_numpy(labels.numpy().take(columns, 1).take(rows, 0))


def write_map(path: Path, labels: Tensor) -> None:
    """Write a class map, (H, W) of any integer type with values 0 to 255, as a grey PNG that `read_map` gives back.

    The file appears when it is whole.

    Raises:
        ValueError: not a class map.
        OSError: it cannot be written; names the file.
    """
    if labels.ndim != 2 or labels.is_floating_point():
        raise ValueError(f"{path}: a class map is (H, W) integers, got {labels.dtype} {tuple(labels.shape)}")
    if labels.numel() == 0 or labels.min() < 0 or labels.max() > IGNORE:
        raise ValueError(f"{path}: a class map has pixels of 0 to {IGNORE}")
    save_png(path, labels.cpu().to(torch.uint8).numpy())


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """A png that appears when it is whole.

    Raises:
        OSError: it cannot be written; names the file.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        Image.fromarray(pixels).save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write image ({error.strerror})", str(path)) from error


class MapReader:
    """How the class maps of a data set are read; made once and shared by its scenes, for its table is large.

    Args:
        classes, void, mapping, palette: see `read_map`.
        expected: which values there may be, for messages; None: the classes.
    """

    def __init__(
        self,
        classes: int | None = None,
        void: int | Iterable[int] | None = 255,
        mapping: Mapping[int, int] | None = None,
        palette: Palette | None = None,
        expected: str | None = None,
    ) -> None:
        self.classes, self.palette, self.expected = classes, palette, expected
        self._table = class_table(classes, void, mapping, palette)

    def __call__(self, path: Path) -> Tensor:
        """(H, W) uint8 class indices, 255 where ignored."""
        return read_map(path, classes=self.classes, palette=self.palette, table=self._table, expected=self.expected)
