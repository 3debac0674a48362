"""Image files, read by Pillow as 8 bit RGB."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
_BROKEN = (OSError, SyntaxError, EOFError, ValueError)
"""What Pillow raises at broken files."""
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image behind `path`; whatever is wrong with the file is a ValueError that names it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    try:
        # Pillow knows further formats by their content, and hands some to programs: EPS to Ghostscript.
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"{path}: not a readable image, expected png, jpg, bmp, webp or tiff") from error
    except ImageFault:
        raise
    except _BROKEN as error:
        raise ValueError(f"{path}: broken or truncated image ({error})") from error


class ImageFault(ValueError):
    """A readable image that is not what was expected; the message is complete."""


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of the upright image, without decoding it."""
    with opened(path) as image:
        width, height = image.size
        # A PNG may say behind its pixels which way is up, and Pillow decodes them all to get there.
        may_turn = image.format != "PNG" or _says_which_way_is_up(path)
        turned = may_turn and image.getexif().get(_ORIENTATION) in _SIDEWAYS
    return (width, height) if turned else (height, width)


def orientation(path: Path) -> int:
    """EXIF orientation of an image, 1 to 8; 1 where it has none."""
    with opened(path) as image:
        return int(image.getexif().get(_ORIENTATION, 1))


def _says_which_way_is_up(path: Path) -> bool:
    """Whether any chunk of a PNG but the pixels could hold an orientation."""
    with path.open("rb", buffering=0) as file:
        place = 8
        while len(head := os.pread(file.fileno(), 8, place)) == 8:
            if head[4:] in (b"eXIf", b"zTXt", b"iTXt", b"tEXt"):
                return True
            place += 12 + int.from_bytes(head[:4], "big")
    return False


def read_image(path: Path, value_range: tuple[int, int] | None = None) -> Tensor:
    """Read any image as (3, H, W) uint8 RGB, upright as its EXIF orientation says.

    Grey is repeated over the channels, transparency is dropped.

    Args:
        value_range: the values of a 16 bit grey image that become 0 and 255, clamped outside; None: 0 and 65535, with a
            warning where the image uses less than a sixteenth of that.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: unreadable, truncated, or larger than Pillow's limit; names the file.
    """
    with opened(path) as image:
        if image.mode.startswith("I"):
            image = Image.fromarray(_eight_bits(np.asarray(image), value_range, path))
        array = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


def _eight_bits(values: NDArray[Any], value_range: tuple[int, int] | None, path: Path) -> NDArray[np.uint8]:
    """A 16 bit grey image in 8 bits: its high byte, or the range given, stretched."""
    if value_range is None:
        least, most = int(values.min()), int(values.max())
        if most - least < 4096 and most > 255:
            warnings.warn(
                f"{path}: 16-bit image that uses {least} to {most} of 0 to 65535: only "
                f"{(most >> 8) - (least >> 8) + 1} grey levels are left in 8 bits: set value_range",
                stacklevel=3,
            )
        return (values.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    low, high = value_range
    return ((values.astype(np.float64) - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)
