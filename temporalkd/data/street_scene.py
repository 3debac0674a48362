"""What stands in a synthetic street: where it is at any time, and the outline it shows.

The street runs along +z (metres), x points right, y up, the ground is y = 0. Everything on it is an upright plane
with an outline: billboards face down the street, walls and flanks of cars run along it. Things are laid out in cells
along z and drawn by hashing (seed, stream, cell), so that the street has no end and needs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CLASSES = ("sky", "building", "road", "pavement", "tree", "pole", "sign", "car", "person")
SKY_CLASS, BUILDING, ROAD, PAVEMENT, TREE, POLE, SIGN, CAR, PERSON = range(len(CLASSES))
WALL, HEDGE, PLANT, LAMP, BOARD, CAR_END, CAR_FLANK, WALKER = range(8)
SIGHT = 95.0  # metres to which things are drawn; buildings stand up to FAR
FAR = 160.0
BLOCKS_PER_CROSSING = 5

Array = NDArray[np.float32]
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


@dataclass(frozen=True)
class Style:
    """What one street looks like and how one drives along it; a function of the seed."""

    seed: int
    road: float  # half width, metres
    pavement: float
    block: float  # length of a building's plot
    crossing: int
    speed: float
    waves: tuple[tuple[float, float], ...]  # (angular frequency, phase) of the smooth changes
    trees: float
    parked: float
    crowd: float
    traffic: float  # oncoming, m/s
    leads: bool
    sun: float  # -1 or 1: the side that the sun stands on
    contrast: float  # of sunlight to shade
    road_colour: tuple[float, ...]
    pavement_colour: tuple[float, ...]
    sky_colour: tuple[float, ...]
    clouds: float
    leaves: tuple[float, ...]

    def wave(self, which: int, time: float) -> float:
        """A smooth signal in [-1, 1]."""
        frequency, phase = self.waves[which]
        return float(np.sin(frequency * time + phase))

    def travelled(self, time: float) -> float:
        """Metres driven since time 0; the integral of a speed that varies by 45 %."""
        frequency, phase = self.waves[0]
        swing = np.cos(phase) - np.cos(frequency * time + phase)
        return float(self.speed * (time + 0.45 / frequency * swing))

    def is_crossing(self, z: NDArray) -> NDArray:
        """Whether a side street opens at z; z in metres from a crossing period's start will do."""
        return np.mod(np.floor(z / self.block) - self.crossing, BLOCKS_PER_CROSSING) == 0


@lru_cache(maxsize=256)
def style(seed: int) -> Style:
    """The style of a street."""
    rng = np.random.default_rng([seed, 1])
    grey, slab = rng.uniform(0.22, 0.5), rng.uniform(0.3, 0.62)
    overcast = rng.random() ** 0.8
    blue, cloud = np.array([0.42, 0.62, 0.9]), np.full(3, rng.uniform(0.66, 0.88))
    return Style(
        seed=seed,
        road=rng.uniform(4.9, 6.2),
        pavement=rng.uniform(2.2, 4.2),
        block=rng.uniform(11, 17),
        crossing=int(rng.integers(BLOCKS_PER_CROSSING)),
        speed=rng.uniform(3.5, 11),
        waves=tuple((rng.uniform(low, 2 * low), rng.uniform(0, 6.28)) for low in (0.5, 0.4, 0.6, 3, 5, 7, 0.7, 0.9)),
        trees=rng.uniform(0.15, 0.75),
        parked=rng.uniform(0.1, 0.65),
        crowd=rng.uniform(0.2, 0.65),
        traffic=rng.uniform(4, 12),
        leads=bool(rng.random() < 0.6),
        sun=float(rng.choice([-1, 1])),
        contrast=rng.uniform(0.15, 0.55) * (1 - 0.6 * overcast),
        road_colour=tuple(grey * rng.uniform([0.97, 0.97, 0.95], [1.05, 1.02, 1.08])),
        pavement_colour=tuple(slab * rng.uniform([1.0, 0.94, 0.85], [1.08, 1.0, 1.02])),
        sky_colour=tuple(blue * (1 - overcast) + cloud * overcast),
        clouds=rng.uniform(0.1, 0.9),
        leaves=tuple(rng.uniform([0.16, 0.26, 0.08], [0.4, 0.46, 0.2])),
    )


@lru_cache(maxsize=1)
def noise_tile() -> Array:
    """(512, 512) periodic value noise of several octaves, mean 0, about -1 to 1."""
    rng = np.random.default_rng(20)
    tile = np.zeros((512, 512), np.float32)
    for cells, weight in ((8, 0.5), (16, 0.5), (32, 0.45), (64, 0.45), (128, 0.4), (256, 0.3)):
        lattice = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        place = np.arange(512) * cells / 512
        first = place.astype(int)
        blend = (place - first).astype(np.float32)
        blend = blend * blend * (3 - 2 * blend)
        after = (first + 1) % cells
        rows = lattice[first] * (1 - blend)[:, None] + lattice[after] * blend[:, None]
        tile += weight * (rows[:, first] * (1 - blend) + rows[:, after] * blend)
    return tile


def noise(u: Array, v: Array, texels_per_metre: float | Array, offset: float | Array = 0.0) -> Array:
    """Value noise at surface coordinates; repeats after 512 texels."""
    column = (u * texels_per_metre + offset).astype(np.int32) & 511
    row = (v * texels_per_metre + offset).astype(np.int32) & 511
    return noise_tile().ravel()[row * 512 + column]


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


WALLS = [(0.55, 0.36, 0.3), (0.62, 0.56, 0.47), (0.5, 0.5, 0.5), (0.72, 0.68, 0.6), (0.4, 0.38, 0.37), (0.5, 0.52, 0.42)]
PAINTS = [(0.12, 0.12, 0.13), (0.3, 0.31, 0.33), (0.6, 0.6, 0.6), (0.78, 0.78, 0.76), (0.5, 0.12, 0.1), (0.15, 0.22, 0.4)]
CLOTHES = [(0.12, 0.12, 0.15), (0.4, 0.4, 0.4), (0.55, 0.2, 0.18), (0.2, 0.28, 0.45), (0.65, 0.6, 0.5), (0.3, 0.36, 0.2)]
PLATES = [(0.15, 0.3, 0.65), (0.75, 0.75, 0.72), (0.7, 0.15, 0.12), (0.75, 0.6, 0.12), (0.15, 0.4, 0.25)]


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
        things["colours"] = np.stack([colours, np.array([0.16, 0.19, 0.23]) + 0.25 * r[:, 12:13], 0.55 * colours, colours], 1)
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
        leaves = np.array(look.leaves) * (0.7 + 0.6 * r[:, 7:8])
        bark = np.array([0.3, 0.26, 0.22]) * (0.6 + 0.7 * r[:, 8:9])
        things["colours"] = np.stack([leaves, bark, bark, bark], 1)
        rows.append(things[(r[:, 9] < look.trees) & ~look.is_crossing(things["z"])])

        things, cells, r = _stream(look, 4 + number, 11, here, here + SIGHT)
        board = r[:, 0] < 0.55
        things["kind"], things["z"] = np.where(board, BOARD, LAMP), (cells + 0.9 * r[:, 1]) * 11
        things["x"] = side * (look.road + 0.35 + 0.3 * r[:, 2])
        size = 0.28 + 0.25 * r[:, 3]
        things["tall"] = np.where(board, 2.3 + 0.9 * r[:, 4] + size, 5 + 2.5 * r[:, 4])
        reach = np.where(r[:, 5] < 0.7, 1.7, 0.1)
        things["low"] = np.where(board, -1.2 * size, np.where(side > 0, -reach, -0.1))
        things["high"] = np.where(board, 1.2 * size, np.where(side > 0, 0.1, reach))
        things["shape"] = np.stack([size, 0.05 + 0.05 * r[:, 6], np.floor(5 * r[:, 7]), r[:, 8] * 500], 1)
        metal = np.array([0.4, 0.42, 0.42]) * (0.4 + 1.1 * r[:, 9:10])
        plate = _pick(PLATES, r[:, 10], r[:, 11])
        rim = np.where(r[:, 12:13] < 0.5, [[0.8, 0.8, 0.78]], [[0.65, 0.12, 0.1]])
        things["colours"] = np.stack([metal, plate, rim, metal], 1)
        rows.append(things[(r[:, 13] < 0.8) & ~look.is_crossing(things["z"])])
    return rows


def _cars(look: Style, here: float, time: float) -> list[NDArray]:
    """Parked on both sides, oncoming, and the one ahead."""
    rows = []
    drift = -look.traffic * time
    for stream, x, pace, share in (
        (8, -look.road + 1.0, 0.0, look.parked),
        (9, look.road - 1.0, 0.0, look.parked),
        (10, -1.65, -look.traffic, 0.45),
        (11, 1.65, 0.0, 1.0),
    ):
        ahead = stream == 11
        shift = drift if pace else 0.0
        start, end = (0.5, 0.6) if ahead else (here - shift, here + SIGHT - shift)
        things, cells, r = _stream(look, stream, 6.3 if not pace else 13, start, end)
        things["x"] = x + 0.3 * (r[:, 0] - 0.5)
        things["z"] = (cells + 0.15 * r[:, 1]) * (6.3 if not pace else 13)
        things["pace"], things["kind"] = pace, CAR_END
        half, van = 0.82 + 0.12 * r[:, 2], r[:, 3] < 0.15
        things["low"], things["high"] = -half, half
        things["tall"] = np.where(van, 1.9 + 0.4 * r[:, 4], 1.38 + 0.25 * r[:, 4])
        length = 3.7 + 0.9 * r[:, 5]
        things["shape"] = np.stack([half, length, van, r[:, 6] * 500], 1)
        glass = np.array([0.13, 0.15, 0.18]) + 0.18 * r[:, 7:8]
        lights = np.where((pace < 0) | (r[:, 8:9] < 0.4), [[0.85, 0.85, 0.8]], [[0.6, 0.1, 0.08]])
        things["colours"] = np.stack([_pick(PAINTS, r[:, 9], r[:, 10]), glass, np.full_like(glass, 0.07), lights], 1)
        if ahead:
            things = things[:1]
            things["z"], things["follows"] = 9 + 9 * r[:1, 11], True
            rows += [things] if look.leads else []
            continue
        things = things[(r[:, 12] < share) & ((pace != 0) | ~look.is_crossing(things["z"] + 3))]
        flanks = things.copy()
        flanks["key"] += 1
        flanks["kind"], flanks["along"], flanks["low"], flanks["high"] = CAR_FLANK, True, 0, flanks["shape"][:, 1]
        flanks["x"] -= np.sign(x) * things["high"]
        rows += [things, flanks]
    return rows


def _people(look: Style, here: float, time: float) -> list[NDArray]:
    rows = []
    kerb = look.road + 0.4
    for stream, side, pace, stroll in ((12, -1, 1.3, 0), (13, -1, -1.1, 0), (14, 1, 1.2, 0), (15, 1, -1.4, 0), (16, 1, 0, 1.3)):
        spacing = 14 if stroll else 8
        things, cells, r = _stream(look, stream, spacing, here - pace * time, here + SIGHT - pace * time)
        things["kind"], things["pace"] = WALKER, pace
        things["z"] = (cells + 0.9 * r[:, 0]) * spacing
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


def part(of_class: int, colour: int = 0) -> int:
    """The code of a visible part: its class and which of the thing's four colours it has. 0 means nothing."""
    return 1 + 4 * of_class + colour


def outline(thing: NDArray, u: Array, v: Array) -> NDArray[np.uint8]:
    """Which part of a thing is at plane coordinates (u, v) metres; 0 where one sees past it.

    Only arithmetic that is rounded the same way everywhere: one answer for one point, whatever else is asked for.
    """
    kind, tall = thing["kind"], float(thing["tall"])
    a, b, c, salt = (float(value) for value in thing["shape"])
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
        gauges = (np.sqrt(x * x + y * y), np.maximum(-2 * y, 1.732 * x + y), np.maximum(x, abs(y)), x + abs(y), np.maximum(2 * x, abs(y)))
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
        front, back = x - lean * (y - 0.62), x + lean * (y - 0.62)
        parts[(y >= 0.62) & (front > 0.06) & (back < 0.76)] = part(CAR)
        parts[(y > 0.65) & (y < 0.92) & (front > 0.1) & (back < 0.72) & (abs(x - 0.42) > 0.015)] = part(CAR, 1)
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
