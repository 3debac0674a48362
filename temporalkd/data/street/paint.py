"""The light and the colours of a synthetic street: textures fixed to surfaces, shadows, haze, sensor noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from temporalkd.data.street.cast import GROUND, INFINITY, Hits, View
from temporalkd.data.street.outline import part
from temporalkd.data.street.scene import BOARD, CAR_END, CAR_FLANK, HEDGE, LAMP, PLANT, WALKER, WALL
from temporalkd.data.street.style import BUILDING, LANE, ROAD, SKY, Array, Style, noise, noise_tile

TILE = 512
CELL = 0.2  # metres of a cell of the shadow map
SHADOW_WIDTH, SHADOW_LENGTH = 24.0, 60.0
ROUGHNESS = {WALL: 0.14, HEDGE: 0.5, PLANT: 0.5, LAMP: 0.1, BOARD: 0.08, CAR_END: 0.07, CAR_FLANK: 0.07, WALKER: 0.25}


def paint(hits: Hits, view: View) -> Array:
    """(n, 3) colours of ray hits, before exposure and noise."""
    look, things = view.look, view.things
    slot = (hits.part - 1) & 3
    colours = np.concatenate([np.zeros((2, 4, 3), np.float32), things["colours"]])
    colour = colours.reshape(-1, 3)[hits.row * 4 + slot]
    light = _surface_light(hits, view)

    ground = np.flatnonzero(hits.row == GROUND)
    colour[ground], light[ground] = _ground(hits.take(ground), view)
    walls = np.flatnonzero(_kinds(view)[hits.row] == WALL)
    _windows(colour, light, walls, hits, view)

    haze = hits.depth / (hits.depth + 220)
    colour *= (light * (1 - haze))[:, None]
    colour += haze[:, None] * (0.75 * np.array(look.sky_colour, np.float32) + 0.12)
    sky = np.flatnonzero(hits.row == INFINITY)
    colour[sky] = _sky(hits.take(sky), look)
    return colour


def _kinds(view: View) -> NDArray:
    return np.concatenate([[-1, -1], view.things["kind"]])


def _surface_light(hits: Hits, view: View) -> Array:
    """(n,) brightness of things: the side they turn to the sun, and their texture."""
    look, things = view.look, view.things
    rough = np.concatenate([[0, 0], [ROUGHNESS[kind] for kind in things["kind"].tolist()]]).astype(np.float32)
    lit = np.where(things["along"], np.where(things["x"] * look.sun < 0, 1 + look.contrast, 1 - look.contrast), 1.0)
    lit = np.concatenate([[1, 1], lit]).astype(np.float32)
    salt = np.concatenate([[0, 0], things["shape"][:, 3]]).astype(np.float32)
    tall = np.concatenate([[1, 1], things["tall"]]).astype(np.float32)
    texture = noise(hits.u, hits.v, 40, salt[hits.row])
    upward = 0.88 + 0.24 * hits.v / tall[hits.row]
    return lit[hits.row] * upward * (1 + rough[hits.row] * texture)


def _windows(colour: Array, light: Array, walls: NDArray, hits: Hits, view: View) -> None:
    """Put panes, and a darker ground floor, into the colours of the pixels that show a wall."""
    row = hits.row[walls] - 2
    shape = view.things["shape"][row]
    colours = view.things["colours"][row]
    across, up = hits.u[walls] / shape[:, 0], hits.v[walls] / shape[:, 1]
    column, storey = np.floor(across), np.floor(up)
    sill = np.abs(across - column - 0.5)
    pane = (sill < shape[:, 2]) & (np.abs(up - storey - 0.55) < 0.27) & (hits.v[walls] < view.things["tall"][row] - 0.5)
    shop = (storey == 0) & (shape[:, 3] > 250)
    pane |= shop & (sill < 0.42) & (up > 0.15) & (up < 0.8)
    mirrored = noise_tile()[(column * 37 + shape[:, 3]).astype(int) & 511, (storey * 91).astype(int) & 511]
    glass = colours[:, 1] * (1 + 0.5 * mirrored)[:, None]
    colour[walls] = np.where(pane[:, None], glass, np.where(shop[:, None], colours[:, 2], colours[:, 0]))
    light[walls] *= np.where(view.things["tall"][row] - hits.v[walls] < 0.25, 0.75, 1)


def _ground(hits: Hits, view: View) -> tuple[Array, Array]:
    """Colours (n, 3) and brightness (n,) of road and pavement, with markings, joints, stains and shadows."""
    look = view.look
    x = hits.u + np.float32(view.x)
    is_road = hits.part == part(ROAD)
    near = np.float32(12) / (hits.depth + 12)
    period = TILE / 32
    z = hits.v + np.float32(view.z % period)
    fine = noise(x, z, 32)
    coarse = noise(x, hits.v + np.float32(view.z % (period * 8)), 4, 77)
    light = 1 + 0.16 * near * fine + 0.1 * coarse
    tracks = np.abs(np.abs(np.abs(x) - LANE) - 0.75)
    light -= np.where(is_road & (tracks < 0.25), 0.06, 0)

    past = look.past_crossing(hits.v + np.float32(view.z % look.period))
    side = np.abs(x)
    dashed = (side < 0.07) & (_fraction((hits.v + np.float32(view.z % 6.0)) / 6) < 0.5) & (past > look.block)
    zebra = (past > look.period - 4) & (past < look.period - 1) & (side < look.road - 0.4) & (_fraction(x) < 0.5)
    marking = is_road & (dashed | zebra)
    kerb = ~is_road & (side < look.road + 0.18)
    joints = ~is_road & ((_fraction(z) < 0.05) | (_fraction(x) < 0.05))
    light -= np.where(joints, 0.2 * near, 0)
    colour = np.where(
        is_road[:, None], np.array(look.road_colour, np.float32), np.array(look.pavement_colour, np.float32)
    )
    colour[kerb] *= np.float32(1.18)
    colour[marking] = np.float32(0.74)
    light[marking] *= 1 + 0.25 * coarse[marking]
    return colour, light * _shadow(hits, x, view)


def _fraction(values: NDArray) -> NDArray:
    return values - np.floor(values)


def _shadow(hits: Hits, x: Array, view: View) -> Array:
    """(n,) share of light that reaches the ground: houses, trees and cars stand in the sun."""
    look, things = view.look, view.things
    origin = np.floor(view.z / CELL) * CELL
    lit = np.ones((int(SHADOW_LENGTH / CELL), int(SHADOW_WIDTH / CELL)), np.float32)
    for thing, centre, z in zip(things, view.thing_x, view.thing_z - origin):
        kind, tall = thing["kind"], thing["tall"]
        if kind == WALL and thing["along"]:
            if centre * look.sun > 0:
                reach = -0.45 * tall * look.sun
                _darken(lit, sorted((centre, centre + reach)), (z, z + thing["high"]), 1 - look.contrast)
        elif kind == CAR_END:
            _darken(lit, (centre - 1, centre + 1), (z, z + thing["shape"][1]), 0.4)
        elif kind == PLANT:
            middle, spread = centre - 0.4 * tall * look.sun, thing["shape"][0]
            _darken(lit, (middle - spread, middle + spread), (z - spread, z + spread), 1 - 0.8 * look.contrast)
        elif kind == WALKER:
            _darken(lit, (centre - 0.3, centre + 0.3), (z - 0.3, z + 0.3), 0.6)
    lit = cv2.GaussianBlur(lit, (5, 5), 0).astype(np.float32)
    column = np.clip((x + SHADOW_WIDTH / 2) / CELL, 0, lit.shape[1] - 1).astype(np.int32)
    row = np.clip((hits.v + np.float32(view.z - origin)) / CELL, 0, lit.shape[0] - 1).astype(np.int32)
    return lit[row, column]


def _darken(lit: Array, x: tuple[float, float] | list[float], z: tuple[float, float], to: float) -> None:
    left, right = (int(np.clip((value + SHADOW_WIDTH / 2) / CELL, 0, lit.shape[1])) for value in x)
    near, far = (int(np.clip(value / CELL, 0, lit.shape[0])) for value in z)
    part = lit[near:far, left:right]
    np.minimum(part, to, out=part)


def _sky(hits: Hits, look: Style) -> Array:
    """Colours (n, 3) at infinity: sky with clouds, and the far houses on the horizon."""
    base = np.array(look.sky_colour, np.float32)
    cloud = noise(hits.u, hits.v * 2.2, 150, look.seed % 512) + 0.5 * noise(hits.u, hits.v, 420, 50)
    amount = np.clip(0.25 + look.clouds * (0.5 + 0.9 * cloud), 0, 1) * 0.75
    glow = np.clip(1.06 - 0.35 * hits.v, 0.7, 1.06)
    colour = (base * glow[:, None]) * (1 - amount[:, None]) + amount[:, None] * np.float32(0.86)
    distant = hits.part == part(BUILDING)
    houses = 0.42 + 0.2 * noise(np.floor(hits.u * 60), hits.v * 0, 91) + 0.05 * noise(hits.u, hits.v, 3000)
    colour[distant] = (houses[:, None] + 0.35 * base)[distant] * 0.8
    woods = ~distant & (hits.part != part(SKY))
    colour[woods] = (np.array(look.leaves, np.float32) * 0.7 + 0.2 * base)[None] * (
        1 + noise(hits.u, hits.v, 2500)[woods, None] * 0.2
    )
    return colour


def expose(image: Array, look: Style, index: int, time: float, light: float, grain: float) -> NDArray[np.uint8]:
    """(3, H, W) bytes of an (H, W, 3) picture: exposure that drifts and flickers, colour cast, sensor noise.

    `light` and `grain` scale the changes over time and the noise; 0 turns them off.
    """
    rng = np.random.default_rng([look.seed, 2, index])
    drift = 0.1 * look.wave(6, time) + 0.05 * look.wave(4, time) + 0.02 * rng.standard_normal()
    drift += rng.choice([-0.12, 0.12]) * (rng.random() < 0.06)
    cast = 0.03 * np.array([look.wave(7, time), 0, -look.wave(7, time)]) + 0.008 * rng.standard_normal(3)
    image = image * (look.gain + light * (drift + cast)).astype(np.float32)
    shot = rng.standard_normal(image.shape, dtype=np.float32)
    image += grain * 0.018 * shot * (0.4 + np.sqrt(np.clip(image, 0, 1)))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(2, 0, 1)
