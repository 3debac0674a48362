"""Putting panels together: one column per system, one page per frame, a contact sheet of pages."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import torch
from torch import Tensor

from temporalkd.render.overlay import (
    FAINT,
    PAPER,
    Palette,
    caption,
    enlarge,
    flips_in_red,
    legend,
    overlay,
    to_picture,
)

_GAP = 4
_FOOT = "red: class flips along the motion before the next frame"


def column(
    name: str, numbers: str, frame: Tensor, labels: Tensor, flips: Tensor, palette: Palette, scale: int = 1
) -> list[Tensor]:
    """Title, classes over the frame, and flips of one system, `scale` times as large as the frame."""
    large = enlarge(frame, scale, smooth=True)
    width = large.shape[2]
    return [
        caption(width, name, numbers, height=_letters(width)),
        overlay(large, _repeat(labels, scale), palette),
        flips_in_red(large, _repeat(flips, scale)),
    ]


def page(columns: Sequence[Sequence[Tensor]], clock: str, classes: Sequence[str], palette: Palette) -> Tensor:
    """The columns beside each other, over a line that explains them and the legend."""
    titles, overlays, flips = (_beside(row) for row in zip(*columns))
    width, letters = titles.shape[2], _letters(columns[0][0].shape[2]) * 4 // 5
    foot = [caption(width, _FOOT, clock, height=letters, ink=FAINT)]
    if classes:
        foot.append(legend(width, classes, palette, height=letters))
    return torch.cat([titles, overlays, _paper(_GAP, width), flips, *foot], dim=1)


def contact_sheet(pages: Iterable[Tensor], out: Path, at: Sequence[int]) -> int:
    """Write the pages of these indices under one another as a PNG; stops reading after the last of them.

    Returns:
        Number of pages on the sheet.
    Raises:
        ValueError: there is no page of any of these indices.
        OSError: `out` cannot be written.
    """
    chosen: list[Tensor] = []
    for index, picture in enumerate(pages):
        if index in at:
            chosen += [_paper(3 * _GAP, picture.shape[2])] * bool(chosen) + [picture]
        if index >= max(at, default=-1):
            break
    if not chosen:
        raise ValueError(f"{out}: none of the frames {list(at)} exists")
    _write_png(Path(out), torch.cat(chosen, dim=1))
    return (len(chosen) + 1) // 2


def _write_png(out: Path, image: Tensor) -> None:
    coded = cv2.imencode(".png", cv2.cvtColor(to_picture(image), cv2.COLOR_RGB2BGR))[1].tobytes()
    partial = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(coded)
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write picture ({error.strerror})", str(out)) from error


def _letters(width: int) -> int:
    return max(8, min(18, width // 38))


def _repeat(mask: Tensor, scale: int) -> Tensor:
    return mask.repeat_interleave(scale, 0).repeat_interleave(scale, 1)


def _beside(panels: Sequence[Tensor]) -> Tensor:
    gap = _paper(panels[0].shape[1], _GAP)
    return torch.cat([part for panel in panels for part in (gap, panel)][1:], dim=2)


def _paper(height: int, width: int) -> Tensor:
    return torch.tensor(PAPER, dtype=torch.uint8).view(3, 1, 1).expand(3, height, width)
