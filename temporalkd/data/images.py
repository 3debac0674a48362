"""Image files: frames as 8 bit RGB, class maps as indices; class maps can be written too."""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from temporalkd.data.clip import IGNORE

MAX_PIXELS = 2**27
_BROKEN = (OSError, SyntaxError, EOFError, ValueError, struct.error, zlib.error)
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image behind `path`; whatever is wrong with the file is a ValueError that names it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    try:
        with Image.open(path) as image:
            refuse_absurd_size(path, *image.size)
            yield image
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: refused, more than the limit of {MAX_PIXELS} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"{path}: not a readable image, expected png, jpg, bmp or webp") from error
    except ImageFault:
        raise
    except _BROKEN as error:
        raise ValueError(f"{path}: broken or truncated image ({error})") from error


class ImageFault(ValueError):
    """A readable image that is not what was expected; the message is complete."""


def refuse_absurd_size(path: Path, width: int, height: int) -> None:
    """A few bytes can claim gigapixels: refuse them before memory is taken."""
    if width * height > MAX_PIXELS:
        raise ImageFault(f"{path}: refused, {width}x{height} is more than the limit of {MAX_PIXELS} pixels")


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of the upright image, from the header alone."""
    with _opened(path) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION) in _SIDEWAYS
    return (width, height) if turned else (height, width)


def read_image(path: Path) -> Tensor:
    """Read any image as (3, H, W) uint8 RGB, upright as its EXIF orientation says.

    Grey is repeated over the channels, 16 bit keeps its high byte, transparency is dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unreadable, truncated, or larger than `MAX_PIXELS`; names the file.
    """
    with _opened(path) as image:
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
        array = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _read_indices(path: Path) -> NDArray[np.int64]:
    with _opened(path) as image:
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
            raise ImageFault(
                f"{path}: a colour image (mode {image.mode}), expected class indices: a grey or palette PNG "
                "whose values are the class numbers"
            )
        values = np.array(image).astype(np.int64)
        unscaled = _grey_step(path) if image.mode == "L" else 1
    return values // unscaled


def _grey_step(path: Path) -> int:
    """What decoding multiplied the values by: grey PNGs of 2 and 4 bits are stretched to 0..255."""
    with path.open("rb") as file:
        head = file.read(26)
    is_grey_png = head.startswith(b"\x89PNG") and head[25] == 0
    return {2: 85, 4: 17}.get(head[24], 1) if is_grey_png else 1


def class_table(
    classes: int | None = None, void: int | Iterable[int] | None = 255, mapping: Mapping[int, int] | None = None
) -> NDArray[np.int64]:
    """Lookup from the value in a file to a class; -1 where the value is not allowed.

    `mapping` goes first and leaves values that it does not name as they are; `void` values become 255.
    """
    void = () if void is None else (void,) if isinstance(void, int) else tuple(void)
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
    table: NDArray[np.int64] | None = None,
) -> Tensor:
    """Read a class map as (H, W) uint8: indices of a grey or palette image, 255 where ignored.

    Args:
        classes: number of classes; None allows 0 to 254.
        void: value or values in the file that mean "ignore".
        mapping: value in the file -> class, before anything else; values that it does not name stay as they are.
        table: what `class_table` made of the three, to be made once for many files.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unreadable, a colour image, or a value out of range; names file and value.
    """
    table = class_table(classes, void, mapping) if table is None else table
    values = _read_indices(path)
    outside = (values < 0) | (values >= len(table))
    mapped = table[np.where(outside, 0, values)]
    wrong = outside | (mapped < 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        allowed = int((table[:IGNORE] == np.arange(IGNORE)).sum()) if classes is None else classes
        raise ValueError(
            f"{path}: value {values[row, column]} at row {row}, column {column} ({wrong.sum()} such pixels), "
            f"expected one of {allowed} classes (0 to {allowed - 1}) or a declared void value"
        )
    return torch.from_numpy(mapped.astype(np.uint8))


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
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        Image.fromarray(labels.cpu().to(torch.uint8).numpy()).save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write class map ({error.strerror})", str(path)) from error
