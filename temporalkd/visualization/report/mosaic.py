"""All systems in ONE video, so that a page can show them side by side without ever losing step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from temporalkd.visualization import VideoWriter
from temporalkd.visualization.overlay import Palette, as_uint8, enlarge, flips_in_red, from_picture, overlay, to_picture

VIEWS = ("overlay", "flips")
WIDEST = 480
_LONGEST = 4096  # pixels a side that H.264 decoders take everywhere
_LARGEST = 36864 * 256  # pixels of a frame at H.264's level 5.1
_LEAST = 64  # pixels of width below which a picture says nothing
_BLOCK = 16  # a macroblock: tiles that start on one do not bleed into each other
_QUALITY = 23  # crf, of H.264
_KEYFRAME_EVERY = 12  # a step backwards decodes this many frames at most


@dataclass(frozen=True)
class Tile:
    """A rectangle of the mosaic, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """Where each system's views are: name -> view -> tile."""

    width: int
    height: int
    tiles: dict[str, dict[str, Tile]]

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) that all tiles share."""
        first = next(iter(self.tiles.values()))[VIEWS[0]]
        return first.height, first.width


def arrange(names: Sequence[str], height: int, width: int) -> Layout:
    """Tiles for systems of frames of this size: a row a system, in more columns and smaller only where they must be.

    Frames wider than WIDEST are made as wide; narrower ones as many whole times as large as fit into it.

    Raises:
        ValueError: more systems than can be told apart in one picture.
    """
    wide = width * max(1, WIDEST // width) if width <= WIDEST else WIDEST
    while wide >= min(width, _LEAST):
        size = _even(wide * height / width), _even(wide)
        rows = max(1, _LONGEST // _blocks(size[0]))
        columns = math.ceil(len(names) / rows)
        layout = _grid(names, *size, columns)
        if max(layout.width, layout.height) <= _LONGEST and layout.width * layout.height <= _LARGEST:
            return layout
        wide = int(wide * 0.9)
    raise ValueError(f"{len(names)} systems do not fit into one video of frames {width}x{height}")


def mosaic(
    frames: Iterable[Tensor],
    maps: Mapping[str, Iterable[Tensor]],
    flips: Mapping[str, Iterable[Tensor | None]],
    palette: Palette,
    out: Path,
    fps: float | Fraction,
    *,
    progress: Callable[[int], None] | None = None,
) -> Layout:
    """Write the mosaic; everything is drawn from one at a time, and a frame of each is held.

    Args:
        frames: (3, H, W), uint8 or in [0, 1], all of one size.
        maps: system -> class maps (H, W), 255 where ignored; as many as frames.
        flips: system -> (H, W) bool, pixels of t whose class is another one in t + 1; None where there is no next
            frame. As many as frames.
        palette: (C, 3) RGB.
        out: the mp4.
        progress: called with the number of frames written.
    Raises:
        ValueError: frames, maps and flips that do not fit each other in number or size.
        OSError: `out` cannot be written.
    """
    layout: Layout | None = None
    with VideoWriter(out, fps, crf=_QUALITY, keyframe_every=_KEYFRAME_EVERY) as writer:
        steps = zip(frames, zip(*maps.values(), strict=True), zip(*flips.values(), strict=True), strict=True)
        for frame, drawn, flipped in steps:
            layout = layout or arrange(list(maps), frame.shape[1], frame.shape[2])
            picture = torch.zeros(3, layout.height, layout.width, dtype=torch.uint8)
            for tiles, map_, flips_of in zip(layout.tiles.values(), drawn, flipped):
                for view, image in zip(VIEWS, _drawn(as_uint8(frame), map_, flips_of, palette, layout.tile)):
                    tile = tiles[view]
                    picture[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = image
            writer.write(picture)
            if progress is not None:
                progress(writer.count)
    assert layout is not None  # a video without frames has been refused
    return layout


def _grid(names: Sequence[str], height: int, width: int, columns: int) -> Layout:
    """The systems in this many columns, each with its views beside each other."""
    across, down = _blocks(width), _blocks(height)
    tiles = {
        name: {
            view: Tile((index % columns * len(VIEWS) + place) * across, index // columns * down, width, height)
            for place, view in enumerate(VIEWS)
        }
        for index, name in enumerate(names)
    }
    used = min(columns, len(names)) * len(VIEWS)
    return Layout((used - 1) * across + width, (math.ceil(len(names) / columns) - 1) * down + height, tiles)


def _drawn(
    frame: Tensor, map_: Tensor, flips: Tensor | None, palette: Palette, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The views at the size of a tile. Small frames are enlarged before the colours go on, so that edges stay sharp."""
    flips = torch.zeros_like(map_, dtype=torch.bool) if flips is None else flips
    scale = max(1, size[1] // frame.shape[2])
    frame = enlarge(frame, scale, smooth=True)
    map_, flips = (x.cpu().repeat_interleave(scale, 0).repeat_interleave(scale, 1) for x in (map_, flips))
    return _fitted(overlay(frame, map_, palette), size), _fitted(flips_in_red(frame, flips), size)


def _fitted(image: Tensor, size: tuple[int, int]) -> Tensor:
    if image.shape[1:] == size:
        return image
    return from_picture(np.asarray(cv2.resize(to_picture(image), size[::-1], interpolation=cv2.INTER_AREA), np.uint8))


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _blocks(length: int) -> int:
    return math.ceil(length / _BLOCK) * _BLOCK
