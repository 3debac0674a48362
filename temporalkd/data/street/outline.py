"""The outlines that the things of a synthetic street show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from temporalkd.data.street.scene import BOARD, CAR_END, CAR_FLANK, HEDGE, LAMP, PLANT, WALL
from temporalkd.data.street.style import BUILDING, CAR, PERSON, POLE, SIGN, TREE, Array, noise


def part(of_class: int, colour: int = 0) -> int:
    """The code of a visible part: its class and which of the thing's four colours it has. 0 means nothing."""
    return 1 + 4 * of_class + colour


def outline(thing: NDArray, u: Array, v: Array) -> NDArray[np.uint8]:
    """Which part of a thing is at plane coordinates (u, v) metres; 0 where one sees past it.

    Only arithmetic that is rounded the same way everywhere: one answer for one point, whatever else is asked for.
    """
    kind, tall = thing["kind"], float(thing["tall"])
    a, b, c, salt = thing["shape"].tolist()
    parts = np.zeros(u.shape, np.uint8)
    across = np.abs(u)
    if kind == WALL:
        parts[:] = part(BUILDING)
    elif kind == HEDGE:
        parts[v < tall - 0.12 + 0.12 * noise(u, v * 0, 40, salt)] = part(TREE)
    elif kind == PLANT:
        parts[(across < b) & (v < tall - a)] = part(TREE, 1)
        height = tall - 1.1 * a
        ragged = 1 + c * noise(u, v, 55, salt)
        inside = (u / a) ** 2 + ((v - height) / (1.05 * a)) ** 2 < ragged
        parts[inside & (noise(u, v, 120, salt + 99) > -0.95)] = part(TREE)
    elif kind == LAMP:
        parts[(across < b) | (v > tall - 0.12) | ((v < 0.9) & (across < 1.5 * b))] = part(POLE)
    elif kind == BOARD:
        parts[across < 0.7 * b] = part(POLE)
        x, y = across / a, (v - tall) / a + 1
        gauges = (
            np.sqrt(x * x + y * y),
            np.maximum(-2 * y, 1.732 * x + y),
            np.maximum(x, abs(y)),
            x + abs(y),
            np.maximum(2 * x, abs(y)),
        )
        gauge = gauges[int(c)]
        parts[gauge < 1] = part(SIGN, 2)
        parts[gauge < 0.72] = part(SIGN, 1)
    elif kind == CAR_END:
        x, y = across / a, v / tall
        lean = 0.15 if c else 0.5
        parts[(y < 0.3) & (x > 0.6) & (x < 0.95)] = part(CAR, 2)
        parts[(y > 0.17) & (y < 0.62)] = part(CAR)
        parts[(y > 0.17) & (y < 0.27)] = part(CAR, 2)
        parts[(y > 0.42) & (y < 0.54) & (x > 0.64) & (x < 0.95)] = part(CAR, 3)
        parts[(y >= 0.62) & (x < 0.94 - lean * (y - 0.62))] = part(CAR)
        parts[(y > 0.65) & (y < 0.92) & (x < 0.84 - lean * (y - 0.62))] = part(CAR, 1)
        parts[(y > 0.31) & (y < 0.38) & (x < 0.27)] = part(CAR, 3)
    elif kind == CAR_FLANK:
        x, y = u / b, v / tall
        lean = 0.1 if c else 0.55
        parts[(y > 0.17) & (y < 0.62)] = part(CAR)
        front, back = x - 0.1 * (y - 0.62), x + lean * (y - 0.62)
        parts[(y >= 0.62) & (front > 0.015) & (back < 0.76)] = part(CAR)
        parts[(y > 0.65) & (y < 0.92) & (front > 0.07) & (back < 0.72) & (abs(x - 0.42) > 0.015)] = part(CAR, 1)
        for axle in (0.18, 0.8):
            parts[(u - axle * b) ** 2 + (v - 0.32) ** 2 < 0.32**2] = part(CAR, 2)
    else:
        x, y = u / tall, v / tall
        parts[(y < 0.5) & (abs(abs(x) - a * (0.5 - y) * 0.6 - 0.03) < 0.042)] = part(PERSON, 1)
        parts[(y > 0.46) & (y < 0.86) & (abs(x) < b - 0.25 * abs(y - 0.76))] = part(PERSON)
        head = x * x + (y - 0.925) ** 2
        parts[head < 0.0052] = part(PERSON, 2)
        parts[(head < 0.0052) & (y > 0.94)] = part(PERSON, 3)
    return parts
