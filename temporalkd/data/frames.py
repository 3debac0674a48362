"""Folders of images: frames with or without labels, and predictions of any tool as class maps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from torch import Tensor

from temporalkd.data.images import class_table, image_size, read_image, read_map
from temporalkd.data.source import Source
from temporalkd.data.video import VideoFile

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAPS = (".png", ".bmp")


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sort key that puts frame 9 before frame 10, zero-padded or not."""
    parts = re.split(r"(\d+)", path.stem.lower())
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def _files(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    """Stem -> file, in temporal order."""
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder, expected one with {what}")
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder, expected one with {what}")
    found: dict[str, Path] = {}
    hits = (p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file())
    for path in sorted(hits, key=_natural):
        if path.stem in found:
            raise ValueError(f"{folder}: {found[path.stem].name} and {path.name} claim the same frame")
        found[path.stem] = path
    if not found:
        raise ValueError(f"{folder}: empty, expected {what} ({', '.join(s[1:] for s in suffixes)})")
    return found


def _unmatched(names: list[str], what: str, where: Path) -> str:
    return f"{len(names)} {what} in {where}, the first is '{names[0]}': names must match up to the extension"


class MapFolder:
    """Class maps in a folder, in temporal order: predictions of any tool, or labels.

    Each item is (H, W) uint8, 255 where ignored. Nothing is held in memory.

    Args:
        folder: grey or palette PNG (or BMP) images whose values are class numbers.
        classes, void, mapping: see `read_map`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        classes: int | None = None,
        void: int | Iterable[int] | None = 255,
        mapping: Mapping[int, int] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.classes = classes
        self.files = _files(self.folder, MAPS, "class maps")
        self.stems = list(self.files)
        self._table = class_table(classes, void, mapping)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Tensor:
        return self.read(self.stems[index])

    def __iter__(self) -> Iterator[Tensor]:
        return (self.read(stem) for stem in self.stems)

    def read(self, stem: str) -> Tensor:
        """The map of the frame of that name."""
        return read_map(self.files[stem], classes=self.classes, table=self._table)

    def require(self, stems: Iterable[str], *, partial: bool = False) -> None:
        """Check that the maps and the frames named `stems` belong together.

        Args:
            partial: frames without a map are allowed.

        Raises:
            ValueError: a map without frame, or a frame without map; says how many, and the first.
        """
        wanted = dict.fromkeys(stems)
        if extra := [stem for stem in self.stems if stem not in wanted]:
            raise ValueError(_unmatched(extra, "maps without a frame", self.folder))
        if not partial and (missing := [stem for stem in wanted if stem not in self.files]):
            raise ValueError(_unmatched(missing, "frames without a map", self.folder))


class ImageFolder(Source):
    """One scene as a folder of images, with or without a folder of labels of the same names.

    Args:
        images: png, jpg, bmp or webp files; natural order (9 before 10) is temporal order.
        labels: folder of class maps, matched by name up to the extension.
        classes, void, mapping: see `read_map`.
        fps: frames per second of the scene.
        partial: only some frames have labels; otherwise a frame without one is an error.
    """

    def __init__(
        self,
        images: Path,
        labels: Path | None = None,
        *,
        classes: int | None = None,
        void: int | Iterable[int] | None = 255,
        fps: float = 25.0,
        mapping: Mapping[int, int] | None = None,
        partial: bool = False,
    ) -> None:
        files = _files(Path(images), IMAGES, "images")
        self.name = Path(images).resolve().name
        self.fps = float(fps)
        self.stems = list(files)
        self.paths = list(files.values())
        self.maps: MapFolder | None = None
        if labels is not None:
            self.maps = MapFolder(Path(labels), classes=classes, void=void, mapping=mapping)
            self.maps.require(self.stems, partial=partial)

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB."""
        return read_image(self.paths[index])

    def describe(self, index: int) -> str:
        """The frame's file."""
        return str(self.paths[index])

    def label(self, index: int) -> Tensor | None:
        """(H, W) uint8, or None where this frame has no label.

        Raises:
            ValueError: the label is not of its frame's size, or `read_map` refuses it; names the file.
        """
        stem = self.stems[index]
        if self.maps is None or stem not in self.maps.files:
            return None
        label, frame = self.maps.read(stem), image_size(self.paths[index])
        if tuple(label.shape) != frame:
            raise ValueError(
                f"{self.maps.files[stem]}: label is {label.shape[1]}x{label.shape[0]}, expected "
                f"{frame[1]}x{frame[0]} like its frame {self.paths[index].name}"
            )
        return label

    @property
    def labelled(self) -> list[int]:
        """Indices of the frames that have labels."""
        if self.maps is None:
            return []
        return [index for index, stem in enumerate(self.stems) if stem in self.maps.files]


def open_frames(path: Path) -> Source:
    """A folder of images, or a video file, as a source of frames.

    Raises:
        FileNotFoundError: there is neither at `path`.
        ValueError: the folder is empty, or the file is not a video.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or file, expected a folder of images or a video")
    return ImageFolder(path) if path.is_dir() else VideoFile(path)
