"""Putting panels together: one column per system, one page per frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from temporalkd.visualization.heatmap import FULL, heat_colours, heatmap
from temporalkd.visualization.overlay import RED, Palette, dim, in_red, overlay, resize
from temporalkd.visualization.text import FAINT, PAPER, caption, key, legend

LARGEST = 16384  # pixels a side of what H.264 can hold
_SMALLEST = 16  # pixels a side below which a panel shows nothing
_WIDE = 400  # pixels that a panel is made wide, at least, when the scale is left open
_GAP = 4
_LEAST_LETTERS = 8  # pixels of a capital that is legible once the video is coded


@dataclass(frozen=True)
class Panel:
    """What one system shows at one frame.

    Shape:
        labels: (H, W), class indices, 255 where ignored.
        flips: (H, W), bool.
        heat: (H, W), counts as `Heat` keeps them.
    """

    name: str
    numbers: str
    labels: Tensor
    flips: Tensor
    heat: Tensor


def panel_size(frame: Sequence[int], panels: int, scale: float | None) -> tuple[int, int]:
    """(height, width) of a panel for frames of (height, width).

    Args:
        scale: None enlarges small frames, by a whole number, to a panel of about 400 pixels; others stay as they are.
    Raises:
        ValueError: a scale of nothing, or one that makes panels too small to see or pages too large to code.
    """
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"scale must be more than 0, got {scale}")
    scale = scale or max(1, round(_WIDE / frame[1]))
    height, width = (max(1, round(side * scale)) for side in frame)
    if min(height, width) < min(_SMALLEST, *frame):
        raise ValueError(f"scale {scale:g} makes panels of {width}x{height} pixels: too small to see anything")
    across, down = panels * width, 2 * height + 200  # about what the text takes
    if max(across, down) > LARGEST:
        raise ValueError(
            f"scale {scale:g} makes pages of {across}x{down} pixels, H.264 holds {LARGEST} a side: choose a smaller one"
        )
    return height, width


def page(
    frame: Tensor,
    panels: Sequence[Panel],
    size: tuple[int, int],
    clock: str,
    trail: float,
    classes: Sequence[str],
    palette: Palette,
) -> Tensor:
    """The panels beside each other, over lines that explain them and the legend.

    From page to page only what `clock` and the panels say differs, never the size.

    Args:
        frame: (3, H, W) uint8, shown smooth; maps are shown pixel by pixel.
        size: (height, width) of a panel.
        trail: frames within which the heat fades, for the explanation.
    """
    large = resize(frame, size, smooth=True)
    grey, letters = dim(large), _letters(size[1])
    columns = [
        (
            caption(size[1], panel.name, panel.numbers, height=letters),
            overlay(large, resize(panel.labels, size), palette),
            in_red(heatmap(grey, resize(panel.heat, size)), resize(panel.flips, size)),
        )
        for panel in panels
    ]
    titles, overlays, flips = (_beside(row) for row in zip(*columns))
    width, small = titles.shape[2], max(_LEAST_LETTERS, letters * 4 // 5)
    foot = [_explanation(width, trail, small), caption(width, clock, height=small, ink=FAINT)]
    if classes:
        foot.insert(0, legend(width, classes, palette, height=small))
    return torch.cat([titles, overlays, _paper(_GAP, width), flips, *foot], dim=1)


def _explanation(width: int, trail: float, height: int) -> Tensor:
    bar = heat_colours(torch.linspace(0, 1, 8)[None])[:, 0].T.tolist()
    entries = [
        ("flips now: another class in the next frame, along the motion", [RED]),
        (f"flips lately: 0 to {FULL} or more, fading over {trail:g} frames", bar),
    ]
    return key(width, entries, height=height)


def _letters(width: int) -> int:
    return max(_LEAST_LETTERS, min(18, width // 38))


def _beside(panels: Sequence[Tensor]) -> Tensor:
    gap = _paper(panels[0].shape[1], _GAP)
    return torch.cat([part for panel in panels for part in (gap, panel)][1:], dim=2)


def _paper(height: int, width: int) -> Tensor:
    return torch.tensor(PAPER, dtype=torch.uint8).view(3, 1, 1).expand(3, height, width)
