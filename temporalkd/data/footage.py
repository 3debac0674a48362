"""A data set, as the rest of the house sees it: scenes, and what the class indices mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from temporalkd.data.clip import IGNORE
from temporalkd.data.image_folder import FrameFolder, ImageFiles, open_frames
from temporalkd.data.motion import MovedStill
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName


@dataclass
class Footage:
    """Scenes with one set of classes; `class_names` is empty where there are no labels."""

    sources: Sequence[Source]
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()


def absent_classes(data: Footage, most: int = 200) -> str | None:
    """A sentence about named classes that no label has, looked for in up to `most` labelled frames on disk."""
    labelled = [(s, i) for s in data.sources if isinstance(s, ImageFiles) for i in s.labelled]
    seen = torch.zeros(IGNORE + 1, dtype=torch.int64)
    for source, index in labelled[:: -(-len(labelled) // most) or 1]:
        label = source.label(index)
        if label is not None:
            seen += torch.bincount(label.flatten(), minlength=IGNORE + 1)
    absent = [name for number, name in enumerate(data.class_names) if not seen[number]]
    if not labelled or not absent:
        return None
    void = float(100 * seen[IGNORE] / seen.sum())
    hint = "; masks of 0 and 255 need mapping: {255: 1} and another void" if len(data.class_names) == 2 else ""
    return f"no pixel of class {', '.join(absent[:5])} in the labels, {void:.1f} % of the pixels are void{hint}"


LIGHT, GRAIN = 0.1, 0.02
"""How much the neighbours of a moved still differ in brightness and noise, as frames of a real camera do: without that
a prediction would be steady for free."""


def move_stills(source: Source, seed: int = 0, light: float = LIGHT, grain: float = GRAIN) -> list[Source]:
    """Each labelled still with neighbours made by synthetic motion, exact flow and visibility included."""
    return [MovedStill(source, i, seed=seed, light=light, grain=grain) for i in source.labelled]


def stills(files: ImageFiles, moved: bool, seed: int = 0) -> list[Source]:
    """Each image, labelled or not, with neighbours made by synthetic motion, or alone."""
    if not moved:
        return [files.alone(i) for i in range(len(files))]
    return [MovedStill(files, i, seed=seed, light=LIGHT, grain=GRAIN) for i in range(len(files))]


def folder(
    images: Path,
    labels: Path | None = None,
    class_names: Sequence[str] = (),
    void: int = 255,
    synthetic_motion: bool = False,
    fps: float = 25.0,
    seed: int = 0,
) -> Footage:
    """One folder of images in temporal order, or of unrelated stills (then with synthetic motion)."""
    source = FrameFolder(images, labels, classes=len(class_names) or None, void=void, fps=fps)
    return Footage(move_stills(source, seed) if synthetic_motion else [source], tuple(class_names))


def video(path: Path, decoder: DecoderName = "pyav") -> Footage:
    """A video file or a folder of images without labels."""
    return Footage([open_frames(path, decoder)])


def street(count: int, seed: int = 0, length: int = 40, size: tuple[int, int] = (96, 160)) -> Footage:
    """Synthetic streets with exact labels, flow and visibility; nothing is read from disk."""
    from temporalkd.data.street import CLASSES, PALETTE, streets

    return Footage(streets(count, seed, length=length, size=size), CLASSES, PALETTE)
