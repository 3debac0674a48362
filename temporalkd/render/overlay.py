"""Pictures of class maps: colours, overlays, pixels that flip, captions and legends."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.data.clip import IGNORE

Palette = Tensor | Sequence[Sequence[int]]
Picture = NDArray[np.uint8]

RED = (235, 30, 40)
PAPER, INK, FAINT = (24, 26, 31), (236, 238, 242), (158, 164, 174)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT = 22  # pixels of a capital at font scale 1


def default_palette(classes: int) -> Tensor:
    """(classes, 3) uint8 colours, each as far from all before it as can be, and from the red that marks flips."""
    if not 1 <= classes <= IGNORE + 1:
        raise ValueError(f"a palette has 1 to {IGNORE + 1} colours, got {classes}")
    levels = np.arange(55, 236, 30, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    taken = np.array([RED, (0, 0, 0), (255, 255, 255), (255, 120, 120)], np.uint8)
    everything = np.concatenate([taken, colours])
    perceived = cv2.cvtColor(everything[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(perceived[:, None] - perceived[None, : len(taken)], axis=2).min(1)
    chosen: list[int] = []
    for _ in range(classes):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(perceived - perceived[chosen[-1]], axis=1))
    return torch.from_numpy(everything[chosen])


def colourise(labels: Tensor, palette: Palette) -> Tensor:
    """Class map to colours; ignored pixels are black.

    Shape:
        labels: (H, W), integers, 255 where ignored.
        palette: (C, 3), RGB 0 to 255.
    Returns:
        (3, H, W) uint8.
    Raises:
        ValueError: a class without a colour.
    """
    if labels.ndim != 2:
        raise ValueError(f"colourise: labels are {tuple(labels.shape)}, expected (H, W)")
    colours = torch.as_tensor(palette)
    if colours.ndim != 2 or colours.shape[1] != 3 or len(colours) > IGNORE + 1:
        raise ValueError(
            f"colourise: palette is {tuple(colours.shape)}, expected (C, 3) with at most {IGNORE + 1} colours"
        )
    table = torch.zeros(IGNORE + 1, 3, dtype=torch.uint8)
    table[: len(colours)] = colours.to(torch.uint8)
    table[IGNORE] = 0
    labels = labels.cpu().long()
    wrong = (labels != IGNORE) & ((labels >= len(colours)) | (labels < 0))
    if wrong.any():
        raise ValueError(f"class {int(labels[wrong][0])} has no colour: the palette has {len(colours)}")
    return table[labels].permute(2, 0, 1)


def overlay(frame: Tensor, labels: Tensor, palette: Palette, alpha: float = 0.5) -> Tensor:
    """Class colours over the frame; where the label is ignored, the frame alone.

    Shape:
        frame: (3, H, W), uint8 or floating point in [0, 1].
        labels: (H, W).
    Args:
        alpha: 0 shows the frame, 1 the colours.
    Returns:
        (3, H, W) uint8.
    """
    frame = as_uint8(frame)
    _same_size("labels", labels, frame)
    colours = colourise(labels, palette)
    mixed = (frame * (1 - alpha) + colours * alpha).round().to(torch.uint8)
    return torch.where(labels.cpu() == IGNORE, frame, mixed)


def flips_in_red(frame: Tensor, flips: Tensor) -> Tensor:
    """The frame in dim grey, with the pixels of the mask in red.

    Shape:
        frame: (3, H, W), uint8 or floating point in [0, 1].
        flips: (H, W), bool.
    Returns:
        (3, H, W) uint8.
    """
    frame = as_uint8(frame)
    _same_size("flips", flips, frame)
    grey = (frame.float().mean(0, keepdim=True) * 0.45 + 18).round().to(torch.uint8).expand(3, -1, -1)
    return torch.where(flips.cpu().bool(), torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1), grey)


def as_uint8(frame: Tensor) -> Tensor:
    """(3, H, W) uint8 on the CPU, from uint8 or from floating point in [0, 1]."""
    if frame.ndim != 3 or frame.shape[0] != 3:
        raise ValueError(f"frame is {tuple(frame.shape)}, expected (3, H, W)")
    frame = frame.cpu()
    return frame if frame.dtype == torch.uint8 else (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)


def enlarge(image: Tensor, scale: int, *, smooth: bool = False) -> Tensor:
    """(3, H, W) uint8, `scale` times as large: smooth for photographs, pixel by pixel otherwise."""
    if scale == 1:
        return image
    size = (image.shape[2] * scale, image.shape[1] * scale)
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return from_picture(np.asarray(cv2.resize(to_picture(image), size, interpolation=how), np.uint8))


def to_picture(image: Tensor) -> Picture:
    """(3, H, W) uint8 -> (H, W, 3) array that OpenCV draws on."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def from_picture(picture: Picture) -> Tensor:
    """(H, W, 3) array -> (3, H, W) uint8."""
    return torch.from_numpy(picture).permute(2, 0, 1)


def text_width(text: str, height: int) -> int:
    """Width in pixels of a text whose capitals are `height` pixels high."""
    return cv2.getTextSize(text, _FONT, height / _FONT_HEIGHT, _thickness(height))[0][0]


def caption(width: int, left: str, right: str = "", *, height: int = 11, ink: tuple[int, int, int] = INK) -> Tensor:
    """A bar of text, one part at either end; the letters shrink where the two would not fit.

    Returns:
        (3, 2.4 height, width) uint8.
    """
    bar = np.full((round(2.4 * height), width, 3), PAPER, np.uint8)
    margin = height * 2 // 3
    needed = text_width(left, height) + text_width(right, height) + (3 if right else 2) * margin
    small = max(5, min(height, math.floor(height * width / needed)))
    baseline = (bar.shape[0] + small) // 2
    _write(bar, left, (margin, baseline), small, ink)
    _write(bar, right, (width - margin - text_width(right, small), baseline), small, ink)
    return from_picture(bar)


def legend(width: int, names: Sequence[str], palette: Palette, *, height: int = 9) -> Tensor:
    """The class names beside their colours, in as many rows as they need.

    Returns:
        (3, rows, width) uint8.
    """
    colours = torch.as_tensor(palette).tolist()
    if len(names) > len(colours):
        raise ValueError(f"{len(names)} class names, but the palette has {len(colours)} colours")
    row, gap = round(2.2 * height), height * 3 // 2
    places: list[tuple[int, int]] = []
    margin = height * 2 // 3
    x, y = margin, 0
    for name in names:
        step = height + gap // 2 + text_width(name, height) + gap
        if x + step > width and x > margin:
            x, y = margin, y + row
        places.append((x, y))
        x += step
    bar = np.full((y + row, width, 3), PAPER, np.uint8)
    for name, colour, (x, y) in zip(names, colours, places):
        top = y + (row - height) // 2
        cv2.rectangle(bar, (x, top), (x + height, top + height), [int(c) for c in colour], thickness=-1)
        _write(bar, name, (x + height + gap // 2, top + height), height, INK)
    return from_picture(bar)


def _thickness(height: int) -> int:
    return max(1, round(height / 12))


def _write(picture: Picture, text: str, place: tuple[int, int], height: int, ink: tuple[int, int, int]) -> None:
    """Draw text with its baseline's left end at `place`; OpenCV's font knows ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, place, _FONT, height / _FONT_HEIGHT, ink, _thickness(height), cv2.LINE_AA)


def _same_size(what: str, mask: Tensor, frame: Tensor) -> None:
    if mask.shape != frame.shape[1:]:
        raise ValueError(f"{what} are {tuple(mask.shape)}, expected {tuple(frame.shape[1:])} like the frame")
