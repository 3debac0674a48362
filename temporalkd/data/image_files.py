"""Scenes as lists of image files, of which some have labels: what every data set on disk comes down to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from temporalkd.data.images import image_size, read_image
from temporalkd.data.maps import class_table, read_map
from temporalkd.data.palettes import Palette
from temporalkd.data.source import Frame, Source

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAPS = (".png", ".bmp")


def natural(path: Path) -> tuple[list[str | int], str]:
    """Sort key that puts frame 9 before frame 10, zero-padded or not."""
    parts = re.split(r"(\d+)", path.stem.lower())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def files_in(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """Stem -> file, in temporal order.

    Raises:
        FileNotFoundError, ValueError: no such folder, none of these files in it, or two for one frame; names it.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder, expected one with {what}")
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder, expected one with {what}")
    found: dict[str, Path] = {}
    hits = (p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file())
    for path in sorted(hits, key=natural):
        if path.stem in found:
            raise ValueError(f"{folder}: {found[path.stem].name} and {path.name} claim the same frame")
        found[path.stem] = path
    if not found:
        raise ValueError(f"{folder}: empty, expected {what} ({', '.join(s[1:] for s in suffixes)})")
    return found


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


class ImageFiles(Source):
    """One scene, or unrelated stills, as a list of image files.

    Args:
        name: of the scene.
        paths: images in temporal order.
        labels: index of a frame -> its class map.
        reader: how the class maps are read.
        fps: frames per second of the scene.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        labels: Mapping[int, Path] | None = None,
        reader: MapReader | None = None,
        fps: float = 25.0,
    ) -> None:
        self.name, self.paths, self.fps = name, list(paths), float(fps)
        self.labels = dict(labels or {})
        self.reader = reader or MapReader()

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return read_image(self.paths[index])

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
        if path is None:
            return None
        label, frame = self.reader(path), image_size(self.paths[index])
        if tuple(label.shape) != frame:
            raise ValueError(
                f"{path}: label is {label.shape[1]}x{label.shape[0]}, expected "
                f"{frame[1]}x{frame[0]} like its frame {self.paths[index].name}"
            )
        return label

    @property
    def labelled(self) -> list[int]:
        """Indices of the frames that have labels."""
        return sorted(self.labels)

    def alone(self, index: int) -> ImageFiles:
        """One of its frames as a scene of its own."""
        path = self.paths[index]
        labels = {0: self.labels[index]} if index in self.labels else {}
        return ImageFiles(f"{self.name}-{path.stem}", [path], labels, self.reader, self.fps)
