"""Image files, read by Pillow as 8 bit RGB: one of them, or a list as a scene."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from temporalkd.data.source import Frame, Source

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


class ImageFiles(Source):
    """One scene, or unrelated stills, as a list of image files.

    Args:
        name: of the scene.
        paths: images in temporal order.
        labels: index of a frame -> its class map.
        reader: reads a class map, see `MapReader`.
        fps: frames per second of the scene.
        value_range: of 16 bit images, see `read_image`.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        labels: Mapping[int, Path] | None = None,
        reader: Callable[[Path], Tensor] | None = None,
        fps: float = 25.0,
        value_range: tuple[int, int] | None = None,
    ) -> None:
        self.name, self.paths, self.fps = name, list(paths), float(fps)
        self.value_range = value_range
        self.labels = dict(labels or {})
        self.reader = reader

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return read_image(self.paths[index], self.value_range)

    def _stream(self) -> Iterator[Frame]:
        """Nothing is decoded that is not looked at."""
        for index, path in enumerate(self.paths):
            file = path.stat()
            # As version control tells changed files: nobody rewrites one in place and puts all of these back.
            identity = f"{path.absolute()} {file.st_dev} {file.st_ino} {file.st_size} {file.st_mtime_ns}"
            yield Frame(self, index, size=image_size(path), identity=identity)

    def describe(self, index: int) -> str:
        """The frame's file."""
        return str(self.paths[index])

    def files(self, index: int) -> list[Path]:
        """The image, and its class map where there is one."""
        return [self.paths[index], *([self.labels[index]] if index in self.labels else [])]

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8, or None where this frame has no label.

        Raises:
            ValueError: the label is not of its frame's size, or `read_map` refuses it; names the file.
        """
        path = self.labels.get(index)
        if path is None or self.reader is None:
            return None
        label, frame = self.reader(path), image_size(self.paths[index])
        if tuple(label.shape) == frame and frame[0] != frame[1]:
            return label
        name, turned = self.paths[index].name, orientation(self.paths[index])
        turning = f"EXIF orientation {turned} turns its frame {name}, the label is read as it is stored"
        if tuple(label.shape) != frame:
            raise ValueError(
                f"{path}: label is {label.shape[1]}x{label.shape[0]}, expected {frame[1]}x{frame[0]} like its frame "
                f"{name}" + (f": {turning}: turn the labels, or the frames for good" if turned != 1 else "")
            )
        if turned != 1:
            warnings.warn(f"{path}: {turning}; both are square: check that they match", stacklevel=2)
        return label

    def check(self) -> None:
        """Read every label, and the size of every frame.

        Raises:
            ValueError: a label that cannot be used, or a frame of another size than the first; names the file.
        """
        first = image_size(self.paths[0])
        for index, path in enumerate(self.paths):
            if (size := image_size(path)) != first:
                raise ValueError(
                    f"{path}: {size[1]}x{size[0]}, expected {first[1]}x{first[0]} like {self.paths[0].name}: the "
                    "frames of a scene have one size; stills of several sizes need synthetic_motion"
                )
            self.label(index)

    @property
    def labelled(self) -> list[int]:
        """Indices of the frames that have labels."""
        return sorted(self.labels)

    def part(self, indices: Sequence[int]) -> ImageFiles:
        """Some of its frames as a scene of their own; itself where these are all."""
        if list(indices) == list(range(len(self))):
            return self
        paths = [self.paths[i] for i in indices]
        labels = {k: self.labels[i] for k, i in enumerate(indices) if i in self.labels}
        return ImageFiles(f"{self.name}-{paths[0].stem}", paths, labels, self.reader, self.fps, self.value_range)
