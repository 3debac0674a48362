"""The camera of a synthetic street: rays to surfaces, and surface points back to pixels, both exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from temporalkd.data.street.outline import outline, part
from temporalkd.data.street.scene import FAR, HEDGE, SIGHT, WALL, place, things_at
from temporalkd.data.street.style import BUILDING, LANE, PAVEMENT, ROAD, SKY, TREE, Array, Style, noise, style

INFINITY, GROUND = 0, 1  # rows of Hits; things follow from 2
CLIP = 0.4  # metres before the camera where things begin to be seen
FOCAL = 0.9  # focal length over image width


@dataclass(frozen=True)
class View:
    """The street as one frame sees it: the camera's pose, and the things with their places at that time."""

    look: Style
    time: float
    x: float
    y: float
    z: float
    rotation: NDArray[np.float64]  # (3, 3), camera to street
    things: NDArray
    thing_x: NDArray[np.float64]
    thing_z: NDArray[np.float64]


class Hits(NamedTuple):
    """What n rays meet. u, v: metres on the thing's plane; relative to the camera (x, z) on the ground; for what is
    infinitely far the direction (x/z, y/z)."""

    row: NDArray[np.int32]  # INFINITY, GROUND, or 2 + the thing's row
    part: NDArray[np.uint8]
    u: Array
    v: Array
    depth: Array  # along the optical axis, metres

    def take(self, where: NDArray) -> Hits:
        """The hits at some positions."""
        return Hits(*(values[where] for values in self))

    @property
    def classes(self) -> NDArray[np.uint8]:
        """(n,) class indices."""
        return ((self.part - 1) >> 2).astype(np.uint8)


@lru_cache(maxsize=32)
def view_at(seed: int, time: float) -> View:
    """The view of a street's camera at a time, seconds."""
    look = style(seed)
    yaw = 0.03 * look.wave(1, time) + 0.004 * look.wave(3, time)
    pitch = 0.005 + 0.005 * look.wave(4, time) + 0.003 * look.wave(5, time)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    x, y, z = LANE + 0.3 * look.wave(2, time), 1.4 + 0.02 * look.wave(4, time), look.travelled(time)
    things = things_at(look, time)
    thing_x, thing_z = place(look, things, time)
    sight = np.where((things["kind"] == WALL) | (things["kind"] == HEDGE), FAR, SIGHT)
    begins = np.where(things["along"], things["high"], 0) + thing_z - z
    keep = (begins > CLIP) & (thing_z - z < sight)
    near_first = np.flatnonzero(keep)[np.argsort(thing_z[keep], kind="stable")]
    return View(look, time, x, y, z, turn @ nod, things[near_first], thing_x[near_first], thing_z[near_first])


def directions(view: View, x: Array, y: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Rays of pixel positions (n,), in the street's axes, one metre along the optical axis."""
    height, width = size
    right = (x - np.float32((width - 1) / 2)) / np.float32(FOCAL * width)
    up = (np.float32(0.45 * (height - 1)) - y) / np.float32(FOCAL * width)
    r = view.rotation.astype(np.float32)
    to_x, to_y, to_z = (r[axis, 0] * right + r[axis, 1] * up + r[axis, 2] for axis in range(3))
    return to_x, to_y, to_z


def to_pixels(view: View, point: NDArray[np.float64], size: tuple[int, int]) -> tuple[NDArray, NDArray, NDArray]:
    """Pixel x, y and depth of (3, n) points relative to the camera, in the street's axes."""
    height, width = size
    right, up, depth = view.rotation.T @ point
    safe = np.maximum(depth, 0.1 * CLIP)
    return right / safe * (FOCAL * width) + (width - 1) / 2, 0.45 * (height - 1) - up / safe * (FOCAL * width), depth


def cast(view: View, x: Array, y: Array, size: tuple[int, int]) -> Hits:
    """What the rays through pixel positions (n,) meet; `x` must ascend."""
    dx, dy, dz = directions(view, x, y, size)
    hits = _background(view, dx, dy, dz)
    left, right = _columns(view, size)
    starts, ends = np.searchsorted(x, left), np.searchsorted(x, right, side="right")
    low, high, tall, along = (view.things[name].tolist() for name in ("low", "high", "tall", "along"))
    for number in np.flatnonzero(starts < ends):
        span = slice(starts[number], ends[number])
        dx_, dy_, dz_ = dx[span], dy[span], dz[span]
        away_x = np.float32(view.thing_x[number] - view.x)
        away_z = np.float32(view.thing_z[number] - view.z)
        if along[number]:
            with np.errstate(divide="ignore", invalid="ignore"):
                depth = away_x / dx_
            u = depth * dz_ - away_z
        else:
            depth = away_z / dz_
            u = depth * dx_ - away_x
        v = depth * dy_ + np.float32(view.y)
        inside = (u > low[number]) & (u < high[number]) & (v > 0) & (v < tall[number])
        inside &= (depth > 0) & (depth < hits.depth[span])
        at = inside.nonzero()[0]
        if not len(at):
            continue
        parts = outline(view.things[number], u[at], v[at])
        solid = parts.nonzero()[0]
        at = at[solid]
        where = at + starts[number]
        hits.row[where] = number + 2
        hits.part[where], hits.u[where], hits.v[where], hits.depth[where] = parts[solid], u[at], v[at], depth[at]
    return hits


def _background(view: View, dx: Array, dy: Array, dz: Array) -> Hits:
    """Ground and sky, with far houses and woods on the horizon at infinity."""
    look = view.look
    down = dy < -1e-5
    depth = np.where(down, np.float32(-view.y) / np.where(down, dy, np.float32(1)), np.float32(1e6))
    u = np.where(down, depth * dx, dx / dz)
    v = np.where(down, depth * dz, dy / dz)
    x, along = u + np.float32(view.x), v + np.float32(view.z % look.period)
    road = (np.abs(x) < look.road) | look.is_crossing(along)
    azimuth = np.where(down, 0, u)
    houses = 0.05 + 0.025 * noise(np.floor(azimuth * 60), azimuth * 0, 91, look.seed % 512)
    woods = 0.04 + 0.02 * noise(azimuth, azimuth * 0, 700, look.seed % 512)
    horizon = np.where(v < houses, part(BUILDING), np.where(v < woods, part(TREE), part(SKY)))
    parts = np.where(down, np.where(road, part(ROAD), part(PAVEMENT)), horizon).astype(np.uint8)
    return Hits(down.astype(np.int32), parts, u, v, depth)


def _columns(view: View, size: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Pixel columns between which each thing lies, a little too wide."""
    things, n = view.things, len(view.things)
    corners = []
    for end in ("low", "high"):
        x = view.thing_x - view.x + np.where(things["along"], 0, things[end])
        z = view.thing_z - view.z + np.where(things["along"], things[end], 0)
        for y in (np.zeros(n), things["tall"].astype(float)):
            corners.append(to_pixels(view, np.stack([x, y - view.y, np.maximum(z, CLIP)]), size)[0])
    return np.min(corners, 0) - 0.01, np.max(corners, 0) + 0.01


def carry(hits: Hits, source: View, target: View, size: tuple[int, int]) -> tuple[NDArray, NDArray, NDArray]:
    """Where the target view has the surface points of hits in the source view: x, y in pixels, depth in metres."""
    rows = np.maximum(hits.row - 2, 0)
    x, z = place(source.look, source.things, target.time)
    along = source.things["along"][rows]
    u, v = hits.u.astype(np.float64), hits.v.astype(np.float64)
    thing = (x[rows] - target.x + np.where(along, 0, u), v - target.y, z[rows] - target.z + np.where(along, u, 0))
    ground = (u + source.x - target.x, np.full_like(u, -target.y), v + source.z - target.z)
    sky = (u, v, np.ones_like(u))
    point = [
        np.where(hits.row == INFINITY, s, np.where(hits.row == GROUND, g, t)) for s, g, t in zip(sky, ground, thing)
    ]
    return to_pixels(target, np.stack(point), size)


def keys(view: View, rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) names of the surfaces in rows of Hits; one surface has one name in every view."""
    return np.concatenate([[INFINITY, GROUND], view.things["key"]])[rows]
