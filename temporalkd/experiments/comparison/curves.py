"""Curves of accuracy and consistency against the minutes of a training, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from temporalkd.evaluation import SHARES

CURVES = "curves.png"
SHOWN = ("miou", "consistency")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, ROW = 640, 400, 64, 24, 44, 52, 20
PAPER, INK, FAINT = (255, 255, 255), (40, 40, 40), (220, 220, 220)
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (148, 103, 189), (140, 86, 75), (23, 190, 207))
Point = tuple[float, float, float, float]
"""Minutes; mean, lowest and highest over the seeds, in percent."""
Picture = NDArray[np.uint8]


def points(found: dict[str, Any], key: str) -> dict[str, list[Point]]:
    """Name of each system -> its points, in the order of their minutes."""
    lines: dict[str, list[Point]] = {}
    for system in found["systems"]:
        score = system["scores"][key]
        if system["kind"] == "student" and system["budget"] and score["mean"] is not None:
            minutes = system["budget"]["minutes"]
            name = system["name"].removesuffix(f", {minutes:g} min")
            lines.setdefault(name, []).append((minutes, score["mean"], score["low"], score["high"]))
    return {name: sorted(line) for name, line in lines.items()}


def draw(found: dict[str, Any]) -> bytes:
    """The picture as PNG: a panel a measure, a line a system, a bar from the lowest to the highest seed.

    The minutes are on a logarithmic axis.
    """
    panels = [points(found, key) for key in SHOWN]
    names = list(dict.fromkeys(name for panel in panels for name in panel))
    sheet = np.full((HEIGHT + ROW * len(names) + ROW // 2, WIDTH * len(SHOWN), 3), PAPER, np.uint8)
    for number, (key, lines) in enumerate(zip(SHOWN, panels)):
        view = sheet[:HEIGHT, number * WIDTH : (number + 1) * WIDTH]
        panel = np.ascontiguousarray(view)
        _panel(panel, f"{SHARES[key]}, %", lines, names)
        view[:] = panel
    for number, name in enumerate(names):
        y = HEIGHT + ROW * number
        cv2.line(sheet, (LEFT, y), (LEFT + 28, y), _colour(number), 2, cv2.LINE_AA)
        _write(sheet, name, (LEFT + 38, y + 4))
    done, content = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    assert done
    return content.tobytes()


def _panel(panel: Picture, title: str, lines: dict[str, list[Point]], names: Sequence[str]) -> None:
    every = [point for line in lines.values() for point in line]
    _write(panel, title, (LEFT, TOP - 18), 0.5)
    _write(panel, "minutes", (WIDTH - RIGHT - 60, HEIGHT - 10))
    if not every:
        return
    times = sorted({point[0] for point in every})
    low, high = min(point[2] for point in every), max(point[3] for point in every)
    low, high = low - 0.05 * (high - low) - 0.1, high + 0.05 * (high - low) + 0.1
    first, last = np.log(times[0] / 1.2), np.log(times[-1] * 1.2)

    def at(minutes: float, value: float) -> tuple[int, int]:
        x = LEFT + (np.log(minutes) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(float(x)), round(float(y))

    for value in np.linspace(low, high, 5):
        y = at(times[0], float(value))[1]
        cv2.line(panel, (LEFT, y), (WIDTH - RIGHT, y), FAINT, 1)
        _write(panel, f"{value:.1f}", (LEFT - 48, y + 4))
    for minutes in times:
        x = at(minutes, low)[0]
        cv2.line(panel, (x, HEIGHT - BOTTOM), (x, HEIGHT - BOTTOM + 5), INK, 1)
        _write(panel, f"{minutes:g}", (x - 8, HEIGHT - BOTTOM + 22))
    for name, line in lines.items():
        colour = _colour(names.index(name))
        where = np.array([at(minutes, mean) for minutes, mean, _, _ in line], np.int32)
        cv2.polylines(panel, [where], False, colour, 2, cv2.LINE_AA)
        for (minutes, _, lowest, highest), (x, y) in zip(line, where.tolist()):
            cv2.line(panel, at(minutes, lowest), at(minutes, highest), colour, 1, cv2.LINE_AA)
            cv2.circle(panel, (x, y), 4, colour, -1, cv2.LINE_AA)


def _colour(number: int) -> tuple[int, int, int]:
    return COLOURS[number % len(COLOURS)]


def _write(picture: Picture, text: str, at: tuple[int, int], size: float = 0.42) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
