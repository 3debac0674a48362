"""Text beside pictures: captions, and keys that say what the colours mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from temporalkd.visualization.overlay import Palette, Picture, from_picture

PAPER, INK, FAINT = (24, 26, 31), (236, 238, 242), (158, 164, 174)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT = 22  # pixels of a capital at font scale 1
_SMALLEST = 5  # pixels of a capital below which nothing can be read
_SPACE = 0.5  # of a capital's height: the font's own space closes up in small letters

Ink = tuple[int, int, int]


def text_width(text: str, height: int) -> int:
    """Width in pixels of a text whose capitals are `height` pixels high."""
    words = text.split(" ")
    return sum(_word_width(word, height) for word in words) + (len(words) - 1) * _space(height)


def caption(width: int, left: str, right: str = "", *, height: int = 11, ink: Ink = INK) -> Tensor:
    """A bar of text, one part at either end; the letters shrink where the two would not fit, then `left` is cut short.

    Returns:
        (3, 2.4 height, width) uint8.
    """
    bar = np.full((round(2.4 * height), width, 3), PAPER, np.uint8)
    margin = height * 2 // 3
    margins = (3 if right else 2) * margin
    needed = text_width(left, height) + text_width(right, height) + margins
    small = max(_SMALLEST, min(height, math.floor(height * width / needed)))
    baseline = (bar.shape[0] + small) // 2
    left = _shortened(left, width - margins - text_width(right, small), small)
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
    return key(width, [(name, [colour]) for name, colour in zip(names, colours)], height=height)


def key(width: int, entries: Sequence[tuple[str, Sequence[Sequence[int]]]], *, height: int = 9) -> Tensor:
    """Texts, each beside a swatch of its colours from left to right, in as many rows as they need.

    Returns:
        (3, rows, width) uint8.
    """
    row, gap, margin = round(2.2 * height), height * 3 // 2, height * 2 // 3
    placed: list[tuple[int, int, list[str]]] = []
    x, y = margin, 0
    for text, colours in entries:
        swatch = height * len(colours) + gap // 2
        lines = _wrapped(text, width - 2 * margin - swatch, height)
        step = swatch + text_width(lines[0], height) + gap
        if x > margin and (x + step > width or len(lines) > 1):
            x, y = margin, y + row
        placed.append((x, y, lines))
        x, y = (x + step if len(lines) == 1 else width), y + (len(lines) - 1) * row
    bar = np.full((y + row, width, 3), PAPER, np.uint8)
    for (_, colours), (x, y, lines) in zip(entries, placed):
        top = y + (row - height) // 2
        for colour in colours:
            cv2.rectangle(bar, (x, top), (x + height, top + height), [int(c) for c in colour], thickness=-1)
            x += height
        x += gap // 2
        for number, line in enumerate(lines):
            _write(bar, _shortened(line, width - margin - x, height), (x, top + height + number * row), height, INK)
    return from_picture(bar)


def _wrapped(text: str, width: int, height: int) -> list[str]:
    """The text in lines of whole words; one that is too wide alone has a line of its own."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and text_width(f"{lines[-1]} {word}", height) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _shortened(text: str, width: int, height: int) -> str:
    """The text, or as much of it as fits with dots at its end."""
    if text_width(text, height) <= width:
        return text
    kept = len(text)
    while kept and text_width(f"{text[:kept]}...", height) > width:
        kept -= 1
    return f"{text[:kept]}..." if kept else ""


def _plain(text: str) -> str:
    """OpenCV's font knows ASCII only."""
    return text.encode("ascii", "replace").decode()


def _thickness(height: int) -> int:
    return max(1, round(height / 12))


def _space(height: int) -> int:
    return math.ceil(_SPACE * height)


def _word_width(word: str, height: int) -> int:
    return cv2.getTextSize(_plain(word), _FONT, height / _FONT_HEIGHT, _thickness(height))[0][0] if word else 0


def _write(picture: Picture, text: str, place: tuple[int, int], height: int, ink: Ink) -> None:
    """Draw text with its baseline's left end at `place`, word by word."""
    x, y = place
    for word in text.split(" "):
        if word:
            scale = height / _FONT_HEIGHT
            cv2.putText(picture, _plain(word), (x, y), _FONT, scale, ink, _thickness(height), cv2.LINE_AA)
        x += _word_width(word, height) + _space(height)
