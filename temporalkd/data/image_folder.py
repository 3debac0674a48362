"""Folders of images: frames with or without labels, and predictions of any tool as class maps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from temporalkd.data.images import ImageFiles
from temporalkd.data.label_maps import MapReader, resize_map
from temporalkd.data.palettes import Palette
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName, VideoFile

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".ts")
MAPS = (".png", ".bmp", ".tif", ".tiff", ".npy")


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
        raise ValueError(f"{folder}: {_instead(folder)}, expected {what} ({', '.join(s[1:] for s in suffixes)})")
    return found


def _instead(folder: Path) -> str:
    """What a folder holds that has none of the files looked for."""
    others = Counter(p.suffix.lower() for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    if not others:
        return "folders only" if any(p.is_dir() for p in folder.iterdir()) else "empty"
    suffix, count = others.most_common(1)[0]
    lossy = ", whose compression changes class numbers" if suffix in (".jpg", ".jpeg", ".webp") else ""
    return f"{count} {suffix or 'unnamed'} files{lossy}"


class FrameFolder(ImageFiles):
    """One scene as a folder of images, with or without a folder of labels of the same names.

    Args:
        images: png, jpg, bmp or webp files; natural order (9 before 10) is temporal order.
        labels: folder of class maps, matched by name up to the extension.
        classes, void, mapping, palette: see `read_map`.
        fps: frames per second of the scene.
        partial: only some frames have labels; otherwise a frame without one is an error.
        value_range: of 16 bit images, see `read_image`.
        suffix: of the labels' names, see `MapFolder`.
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
        palette: Palette | None = None,
        value_range: tuple[int, int] | None = None,
        suffix: str = "",
    ) -> None:
        files = files_in(Path(images), IMAGES, "images")
        self.stems = list(files)
        maps = None
        if labels is not None:
            maps = MapFolder(Path(labels), classes=classes, void=void, mapping=mapping, palette=palette, suffix=suffix)
            maps.require(self.stems, partial=partial)
        super().__init__(
            Path(images).resolve().name,
            list(files.values()),
            {i: maps.files[stem] for i, stem in enumerate(self.stems) if stem in maps.files} if maps else {},
            maps.reader if maps else None,
            fps,
            value_range,
        )


def open_frames(path: Path, decoder: DecoderName = "pyav") -> Source:
    """A folder of images, or a video file, as a source of frames.

    Args:
        decoder: the library that reads frames of a video at random.

    Raises:
        FileNotFoundError: there is neither at `path`.
        ValueError: the folder is empty, or the file is not a video.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or file, expected a folder of images or a video")
    return FrameFolder(path) if path.is_dir() else VideoFile(path, decoder=decoder)


class MapFolder:
    """Class maps in a folder, in temporal order: predictions of any tool, or labels.

    Each item is (H, W) uint8, 255 where ignored. Nothing is held in memory.

    Args:
        folder: grey or palette PNG (or BMP) images whose values are class numbers.
        classes, void, mapping: see `read_map`.
        palette: colour images are read too, by their colours.
        resize: `fitted` brings maps to the size of their frames.
        suffix: what the names of maps have behind those of their frames, "_L" say.
    """

    def __init__(
        self,
        folder: Path,
        *,
        classes: int | None = None,
        void: int | Iterable[int] | None = 255,
        mapping: Mapping[int, int] | None = None,
        palette: Palette | None = None,
        resize: bool = False,
        suffix: str = "",
    ) -> None:
        self.path = Path(folder)
        self.classes = classes
        self.palette = palette
        self.resize = resize
        self.files = {stem.removesuffix(suffix): file for stem, file in files_in(self.path, MAPS, "class maps").items()}
        self.stems = list(self.files)
        self.reader = MapReader(classes, void, mapping, palette)

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Tensor:
        return self.read(self.stems[index])

    def __iter__(self) -> Iterator[Tensor]:
        return (self.read(stem) for stem in self.stems)

    def read(self, stem: str) -> Tensor:
        """The map of the frame of that name."""
        return self.reader(self.files[stem])

    def fitted(self, labels: Tensor, size: tuple[int, int]) -> Tensor:
        """The map brought to its frame's (H, W) by nearest neighbour, if the folder is to `resize`.

        Otherwise it stays as it is, for the caller to refuse.
        """
        return resize_map(labels, size) if self.resize and tuple(labels.shape) != tuple(size) else labels

    def require(self, stems: Iterable[str], *, partial: bool = False) -> None:
        """Check that the maps and the frames named `stems` belong together.

        Args:
            partial: frames without a map are allowed.

        Raises:
            ValueError: maps without frame, frames without map, or both; says how many, the first three of each, and
                what maps have behind the names of their frames.
        """
        wanted = dict.fromkeys(stems)
        extra = [stem for stem in self.stems if stem not in wanted]
        missing = [stem for stem in wanted if stem not in self.files]
        if not extra and (partial or not missing):
            return
        lists = []
        if extra:
            lists.append(_listed(extra, f"maps without a frame in {self.path}"))
        if missing and not partial:
            lists.append(_listed(missing, "frames without a map" + ("" if extra else f" in {self.path}")))
        frame = max((stem for stem in missing if extra and extra[0].startswith(stem)), key=len, default=None)
        hint = f" (data sets of such maps: set suffix: '{extra[0].removeprefix(frame)}')" if frame else ""
        raise ValueError(f"{'; '.join(lists)}: names must match up to the extension{hint}")


def _listed(names: Sequence[str], what: str) -> str:
    then = ", ".join(f"'{name}'" for name in names[1:3])
    return f"{len(names)} {what}, the first is '{names[0]}'" + (f", then {then}" if then else "")
