"""Several scenes at once: videos, folders of frames and folders of class maps, which belong together by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from temporalkd.data.image_folder import IMAGES, MAPS, VIDEOS, FrameFolder, MapFolder, natural, open_frames
from temporalkd.data.map_video import MapVideo
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName, VideoFile

ClassMaps = MapFolder | MapVideo


def scene_folders(images: Path, labels: Path | None = None) -> list[tuple[Path, Path | None]]:
    """Folder of frames and folder of labels of each scene: the folders given, or those of the same names in them."""
    inner = _folders(images)
    if not inner or _holds(images, IMAGES):
        return [(images, labels)]
    return [(folder, None if labels is None else labels / folder.name) for folder in inner]


def open_scenes(path: Path, decoder: DecoderName = "pyav") -> list[Source]:
    """A video or a folder of images as one scene; a folder of several of either as one scene each.

    Raises:
        FileNotFoundError, ValueError: as `open_frames`.
    """
    if not path.is_dir():
        return [open_frames(path, decoder)]
    if videos := _videos(path):
        return [VideoFile(video, decoder=decoder) for video in videos]
    return [FrameFolder(folder) for folder, _ in scene_folders(path)]


def labelled_scenes(paths: Sequence[Path], labels: Path, **reading: Any) -> list[Source]:
    """The scenes of folders of images with their labels, in `labels` itself or, of several scenes, in its folders.

    Args:
        reading: how class maps are read, see `FrameFolder`; frames may lack a label.
    Raises:
        FileNotFoundError, ValueError: a video, or labels that are not those of the frames; names it.
    """
    for path in paths:
        if path.is_file() or (path.is_dir() and _videos(path)):
            raise ValueError(f"{path} is a video: labels need a folder of images with the same names")
    if len(paths) == 1:
        pairs = scene_folders(paths[0], labels)
    else:
        pairs = [(images, labels / images.name) for path in paths for images, _ in scene_folders(path)]
    return [FrameFolder(images, maps, partial=True, **reading) for images, maps in pairs]


def open_maps(path: Path, **reading: Any) -> dict[str, ClassMaps]:
    """Scene -> its class maps: a folder of maps or a video of maps is one scene, a folder of several of either several.

    Args:
        reading: see `MapFolder`.
    Raises:
        FileNotFoundError, ValueError: no class maps there; names it.
    """
    if not path.is_dir():
        return {path.stem: MapVideo(path, **reading)}
    videos, inner = _videos(path), _folders(path)
    if _holds(path, (*MAPS, *IMAGES)) or not (videos or inner):
        return {path.resolve().name: MapFolder(path, **reading)}
    if videos:
        return {video.stem: MapVideo(video, **reading) for video in videos}
    return {folder.name: MapFolder(folder, **reading) for folder in inner}


def holds_maps(folder: Path) -> bool:
    """Whether there are images or videos in a folder, or in its folders."""
    return any(_holds(each, (*MAPS, *IMAGES, *VIDEOS)) for each in (folder, *_folders(folder)))


def scene_names(sources: Sequence[Source]) -> list[str]:
    """What each scene is called: its own name, with that of the folder around it or a number where several share it."""
    names = [source.name for source in sources]
    for longer in (_with_folder, _numbered):
        taken = Counter(names)
        names = [longer(name, n, sources) if taken[name] > 1 else name for n, name in enumerate(names)]
    return names


def maps_of_scenes(path: Path, maps: Mapping[str, ClassMaps], sources: Sequence[Source]) -> dict[Source, ClassMaps]:
    """The class maps of each scene: the only ones of the only scene, otherwise by name.

    Args:
        path: where the maps are, for messages.
    Raises:
        ValueError: a scene without class maps; names both.
    """
    if len(sources) == len(maps) == 1:
        return {sources[0]: next(iter(maps.values()))}
    found: dict[Source, ClassMaps] = {}
    for source, name in zip(sources, scene_names(sources)):
        called = next((known for known in (name, *_called(source)) if known in maps), None)
        if called is None:
            there = f"there are {', '.join(list(maps)[:5])}" if len(maps) > 1 else "it has those of one scene"
            raise ValueError(
                f"{path}: no class maps of scene '{name}', {there}: put the maps of each scene in a folder of its name"
            )
        found[source] = maps[called]
    return found


def _called(source: Source) -> Iterator[str]:
    """Its name, and that of what it is a part of."""
    yield source.name
    whole = getattr(source, "source", None)
    if isinstance(whole, Source):
        yield from _called(whole)


def _with_folder(name: str, number: int, sources: Sequence[Source]) -> str:
    source = sources[number]
    files = source.files(0)
    if not files:
        return name
    place = files[0] if isinstance(source, VideoFile) else files[0].parent
    around = place.resolve().parent.name
    return f"{around}/{name}" if around else name


def _numbered(name: str, number: int, sources: Sequence[Source]) -> str:
    return f"{name} ({number + 1})"


def _holds(folder: Path, suffixes: Sequence[str]) -> bool:
    files = folder.iterdir() if folder.is_dir() else ()
    return any(p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file() for p in files)


def _folders(folder: Path) -> list[Path]:
    inner = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in inner if p.is_dir() and not p.name.startswith("."))


def _videos(folder: Path) -> list[Path]:
    hits = (p for p in folder.iterdir() if p.suffix.lower() in VIDEOS and not p.name.startswith(".") and p.is_file())
    return sorted(hits, key=natural)
