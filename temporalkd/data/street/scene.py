"""What stands in a synthetic street, and where it is at any time.

The street runs along +z (metres), x points right, y up, the ground is y = 0. Everything on it is an upright plane
with an outline: billboards face down the street, walls and flanks of cars run along it. Things are laid out in cells
along z and drawn by hashing (seed, stream, cell), so that the street has no end and needs no memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from temporalkd.data.street.style import LANE, Style

WALL, HEDGE, PLANT, LAMP, BOARD, CAR_END, CAR_FLANK, WALKER = range(8)
SIGHT = 95.0  # metres to which things are drawn; buildings stand up to FAR
FAR = 160.0
THING = np.dtype(
    [
        ("key", "i8"),  # the same for one thing at all times
        ("kind", "i4"),
        ("along", "?"),  # the plane runs along the street instead of facing down it
        ("x", "f8"),
        ("z", "f8"),
        ("pace", "f8"),  # m/s along z
        ("stroll", "f8"),  # m/s across the street, back and forth
        ("follows", "?"),  # z is ahead of the camera's car, not of the origin
        ("low", "f4"),  # extent along the plane, from (x, z)
        ("high", "f4"),
        ("tall", "f4"),
        ("shape", "f4", 4),
        ("colours", "f4", (4, 3)),
    ]
)
WALLS = [
    (0.55, 0.36, 0.3),
    (0.62, 0.56, 0.47),
    (0.5, 0.5, 0.5),
    (0.72, 0.68, 0.6),
    (0.4, 0.38, 0.37),
    (0.5, 0.52, 0.42),
]
PAINTS = [
    (0.12, 0.12, 0.13),
    (0.3, 0.31, 0.33),
    (0.6, 0.6, 0.6),
    (0.78, 0.78, 0.76),
    (0.5, 0.12, 0.1),
    (0.15, 0.22, 0.4),
]
CLOTHES = [
    (0.12, 0.12, 0.15),
    (0.4, 0.4, 0.4),
    (0.55, 0.2, 0.18),
    (0.2, 0.28, 0.45),
    (0.65, 0.6, 0.5),
    (0.3, 0.36, 0.2),
]
PLATES = [(0.15, 0.3, 0.65), (0.75, 0.75, 0.72), (0.7, 0.15, 0.12), (0.75, 0.6, 0.12), (0.15, 0.4, 0.25)]


def _draw(seed: int, stream: int, cells: NDArray[np.int64], count: int = 16) -> NDArray[np.float64]:
    """(len(cells), count) uniform numbers in [0, 1) by hashing (splitmix64)."""
    with np.errstate(over="ignore"):
        base = np.uint64((seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64)
        x = base + cells.astype(np.uint64)[:, None] * np.uint64(0xBF58476D1CE4E5B9)
        x = x + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x94D049BB133111EB)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 0x9E3779B97F4A7C15)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53


def _stream(
    look: Style, stream: int, spacing: float, start: float, end: float
) -> tuple[NDArray, NDArray[np.int64], NDArray[np.float64]]:
    """Empty things for the cells of a stream between two z, with their cells and random numbers."""
    cells = np.arange(int(np.floor(start / spacing)) - 1, int(np.ceil(end / spacing)) + 1, dtype=np.int64)
    things = np.zeros(len(cells), THING)
    things["key"] = ((cells + 2**40) * 64 + stream) * 2 + 2
    return things, cells, _draw(look.seed, stream, cells)


def _pick(colours: list[tuple[float, float, float]], choice: NDArray, shade: NDArray) -> NDArray:
    """(n, 3) colours from a list, each brightened or darkened."""
    table = np.array(colours)
    return table[(choice * len(table)).astype(int)] * (0.75 + 0.5 * shade[:, None])


def _buildings(look: Style, here: float) -> list[NDArray]:
    rows = []
    for number, side in enumerate((-1, 1)):
        things, cells, r = _stream(look, number, look.block, here, here + FAR)
        margin = np.where(r[:, 0] < 0.3, r[:, 1] * 0.2 * look.block, 0)
        garden = r[:, 2] < 0.14
        things["kind"] = np.where(garden, HEDGE, WALL)
        things["x"] = side * (look.road + look.pavement + np.where(r[:, 3] < 0.5, 0, r[:, 4] * 4))
        things["z"] = cells * look.block + margin
        things["high"] = look.block - 2 * margin
        things["tall"] = np.where(garden, 1 + 1.5 * r[:, 5], 4 + 11 * r[:, 5] ** 1.4)
        things["shape"] = np.stack([1.5 + 1.8 * r[:, 6], 2.7 + 0.7 * r[:, 7], 0.15 + 0.2 * r[:, 8], r[:, 9] * 500], 1)
        colours = _pick(WALLS, r[:, 10], r[:, 11])
        colours[garden] = np.array(look.leaves) * (0.7 + 0.5 * r[garden, 11:12])
        things["colours"] = np.stack(
            [colours, np.array([0.16, 0.19, 0.23]) + 0.25 * r[:, 12:13], 0.55 * colours, colours], 1
        )
        gables = things.copy()
        things["along"] = True
        gables["key"] += 1
        gables["low"], gables["high"] = np.minimum(0, side * 14), np.maximum(0, side * 14)
        keep = ~look.is_crossing((cells + 0.5) * look.block)
        rows += [things[keep], gables[keep]]
    return rows


def _furniture(look: Style, here: float) -> list[NDArray]:
    """Trees, lamps and sign posts along the kerb."""
    rows = []
    for number, side in enumerate((-1, 1)):
        things, cells, r = _stream(look, 2 + number, 8.5, here, here + SIGHT)
        things["kind"], things["z"] = PLANT, (cells + 0.1 + 0.8 * r[:, 0]) * 8.5
        radius = 1.2 + 1.3 * r[:, 1]
        things["x"] = side * (look.road + 0.8 + (look.pavement - 1.0) * r[:, 2] ** 2)
        things["tall"] = 3.6 + 3.4 * r[:, 3] + radius
        things["low"], things["high"] = -1.25 * radius, 1.25 * radius
        things["shape"] = np.stack([radius, 0.1 + 0.14 * r[:, 4], 0.25 + 0.15 * r[:, 5], r[:, 6] * 500], 1)
        leaves = np.array(look.leaves) * (0.75 + 0.6 * r[:, 7:8])
        bark = np.array([0.3, 0.26, 0.22]) * (0.6 + 0.7 * r[:, 8:9])
        things["colours"] = np.stack([leaves, bark, bark, bark], 1)
        rows.append(things[(r[:, 9] < look.trees) & ~look.is_crossing(things["z"])])

        things, cells, r = _stream(look, 4 + number, 9, here, here + SIGHT)
        board = r[:, 0] < 0.55
        things["kind"], things["z"] = np.where(board, BOARD, LAMP), (cells + 0.9 * r[:, 1]) * 9
        things["x"] = side * (look.road + 0.35 + 0.3 * r[:, 2])
        size = 0.32 + 0.3 * r[:, 3]
        things["tall"] = np.where(board, 2.3 + 0.9 * r[:, 4] + size, 5 + 2.5 * r[:, 4])
        reach = np.where(r[:, 5] < 0.7, 1.7, 0.1)
        things["low"] = np.where(board, -1.2 * size, np.where(side > 0, -reach, -0.1))
        things["high"] = np.where(board, 1.2 * size, np.where(side > 0, 0.1, reach))
        things["shape"] = np.stack([size, 0.07 + 0.06 * r[:, 6], np.floor(5 * r[:, 7]), r[:, 8] * 500], 1)
        metal = np.array([0.4, 0.42, 0.42]) * (0.4 + 1.1 * r[:, 9:10])
        plate = _pick(PLATES, r[:, 10], r[:, 11])
        rim = np.where(r[:, 12:13] < 0.5, [[0.8, 0.8, 0.78]], [[0.65, 0.12, 0.1]])
        things["colours"] = np.stack([metal, plate, rim, metal], 1)
        rows.append(things[(r[:, 13] < 0.8) & ~look.is_crossing(things["z"])])
    return rows


def _cars(look: Style, here: float, time: float) -> list[NDArray]:
    """Parked on both sides, oncoming, and perhaps one ahead."""
    rows = []
    kerb = look.road - 1.0
    for stream, x, pace, spacing, share in (
        (8, -kerb, 0.0, 6.3, look.parked),
        (9, kerb, 0.0, 6.3, look.parked),
        (10, -LANE, -look.traffic, 13.0, 0.45),
    ):
        start = here - pace * time
        things, cells, r = _stream(look, stream, spacing, start, start + SIGHT)
        things["x"] = x + 0.3 * (r[:, 0] - 0.5)
        things["z"] = (cells + 0.15 * r[:, 1]) * spacing
        things["pace"] = pace
        _build_cars(things, r, lights_white=(r[:, 8] < 0.4) | (pace < 0))
        things = things[(r[:, 12] < share) & ((pace != 0) | ~look.is_crossing(things["z"] + 3))]
        flanks = things.copy()
        flanks["key"] += 1
        flanks["kind"], flanks["along"], flanks["low"], flanks["high"] = CAR_FLANK, True, 0, flanks["shape"][:, 1]
        flanks["x"] -= np.sign(x) * things["high"]
        rows += [things, flanks]
    if look.leads:
        things, _, r = _stream(look, 11, 1, 0, 0)
        things["x"], things["z"], things["follows"] = LANE, 9 + 9 * r[:, 11], True
        _build_cars(things, r, lights_white=np.zeros(len(things), bool))
        rows.append(things[:1])
    return rows


def _build_cars(things: NDArray, r: NDArray[np.float64], lights_white: NDArray[np.bool_]) -> None:
    """Give cars their make: width, height, length and colours."""
    half, van = 0.82 + 0.12 * r[:, 2], r[:, 3] < 0.15
    things["kind"], things["low"], things["high"] = CAR_END, -half, half
    things["tall"] = np.where(van, 1.9 + 0.4 * r[:, 4], 1.38 + 0.25 * r[:, 4])
    things["shape"] = np.stack([half, 3.7 + 0.9 * r[:, 5], van, r[:, 6] * 500], 1)
    glass = np.array([0.13, 0.15, 0.18]) + 0.18 * r[:, 7:8]
    lights = np.where(lights_white[:, None], [[0.85, 0.85, 0.8]], [[0.6, 0.1, 0.08]])
    things["colours"] = np.stack([_pick(PAINTS, r[:, 9], r[:, 10]), glass, np.full_like(glass, 0.07), lights], 1)


def _people(look: Style, here: float, time: float) -> list[NDArray]:
    rows = []
    kerb = look.road + 0.4
    for stream, side, pace, stroll in (
        (12, -1, 1.3, 0),
        (13, -1, -1.1, 0),
        (14, 1, 1.2, 0),
        (15, 1, -1.4, 0),
        (16, 1, 0, 1.3),
        (17, 1, 0, 1.1),
        (18, 1, 0, 1.6),
    ):
        spacing = look.period if stroll else 5.5
        things, cells, r = _stream(look, stream, spacing, here - pace * time, here + SIGHT - pace * time)
        things["kind"], things["pace"] = WALKER, pace
        zebra = cells * spacing + look.crossing * look.block - 1.4 - 2.2 * r[:, 0]
        things["z"] = zebra if stroll else (cells + 0.9 * r[:, 0]) * spacing
        things["x"] = r[:, 1] * 60 if stroll else side * (kerb + (look.pavement - 0.6) * r[:, 1])
        things["stroll"] = stroll * (0.7 + 0.6 * r[:, 2])
        things["tall"] = np.where(r[:, 3] < 0.15, 1.1, 1.55) + 0.35 * r[:, 4]
        things["low"], things["high"] = -0.3 * things["tall"], 0.3 * things["tall"]
        things["shape"] = np.stack([0.05 + 0.3 * r[:, 5], 0.11 + 0.05 * r[:, 6], r[:, 7], r[:, 8] * 500], 1)
        skin = np.array([0.72, 0.52, 0.42]) * (0.4 + 0.7 * r[:, 9:10])
        hair = np.array([0.3, 0.22, 0.15]) * (0.3 + 1.2 * r[:, 10:11])
        shirt, trousers = _pick(CLOTHES, r[:, 11], r[:, 12]), _pick(CLOTHES, r[:, 13], r[:, 14]) * 0.8
        things["colours"] = np.stack([shirt, trousers, skin, hair], 1)
        rows.append(things[r[:, 15] < look.crowd])
    return rows


def things_at(look: Style, time: float) -> NDArray:
    """(n,) of THING: everything that may be seen from the camera's car at a time (seconds)."""
    here = look.travelled(time)
    rows = _buildings(look, here) + _furniture(look, here) + _cars(look, here, time) + _people(look, here, time)
    return np.concatenate(rows)


def place(look: Style, things: NDArray, time: float) -> tuple[NDArray, NDArray]:
    """(n,) x and (n,) z of things at a time, metres."""
    reach = look.road + 1.2
    across = np.abs(np.mod(things["x"] + things["stroll"] * time, 4 * reach) - 2 * reach) - reach
    x = np.where(things["stroll"] > 0, across, things["x"])
    ahead = look.travelled(time) + 3 * look.wave(6, time)
    return x, things["z"] + things["pace"] * time + np.where(things["follows"], ahead, 0)
