"""The mosaic shows every system's own tile of the same frame, within what decoders take."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from temporalkd.data.video import VideoFile
from temporalkd.visualization.overlay import RED
from temporalkd.visualization.report import Tile, mosaic
from temporalkd.visualization.report.mosaic import VIEWS, arrange

from . import support


def cut(picture: torch.Tensor, tile: Tile) -> np.ndarray:
    return picture[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].permute(1, 2, 0).numpy()


def test_every_tile_shows_its_system_at_the_same_frame(tmp_path: Path) -> None:
    video = support.numbered_mosaic(tmp_path / "m.mp4")
    assert len(VideoFile(tmp_path / "m.mp4")) == support.FRAMES
    for index, picture in enumerate(VideoFile(tmp_path / "m.mp4").frames()):
        for system, name in enumerate(support.NAMES):
            tiles = {view: cut(picture, video.tiles[name][view]) for view in VIEWS}
            assert [support.number_in(tiles[view], view) for view in VIEWS] == [index, index]
            colour = (np.array(support.COLOURS[system]) + 30) / 2
            assert np.abs(support.strip_of(tiles["overlay"]) - colour).max() < 12
            red = index % 3 == system and index < support.FRAMES - 1
            expected = np.array(RED) if red else np.full(3, 30 * 0.45 + 18)
            assert np.abs(support.strip_of(tiles["flips"]) - expected).max() < 14


@pytest.mark.parametrize(
    ("count", "height", "width"),
    [(1, 360, 480), (3, 1080, 1920), (12, 360, 480), (27, 360, 480), (60, 720, 1280), (2, 2000, 90), (5, 47, 95)],
)
def test_tiles_fit_are_even_and_do_not_overlap(count: int, height: int, width: int) -> None:
    layout = arrange([f"s{i}" for i in range(count)], height, width)
    assert layout.width <= 4096 and layout.height <= 4096
    assert (layout.width // 16 + 1) * (layout.height // 16 + 1) <= 36864 * 1.05
    tiles = [tile for views in layout.tiles.values() for tile in views.values()]
    assert len(tiles) == 2 * count
    for tile in tiles:
        assert tile.width % 2 == tile.height % 2 == tile.x % 16 == tile.y % 16 == 0
        assert tile.x + tile.width <= layout.width and tile.y + tile.height <= layout.height
        assert tile.width <= 480
        assert tile.height / tile.width == pytest.approx(height / width, rel=0.06)
    for a, b in combinations(tiles, 2):
        assert a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y, (
            f"{a} and {b} overlap"
        )


def test_streams(tmp_path: Path) -> None:
    """What has been drawn is not held: at most a few frames live at any time."""
    import weakref

    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def frames():
        nonlocal most
        for i in range(40):
            image = support.frame(i).clone()
            alive.append(weakref.ref(image))
            most = max(most, sum(ref() is not None for ref in alive))
            yield image
            del image

    map_ = torch.zeros(support.SIZE, dtype=torch.uint8)
    mosaic(
        frames(),
        {"a": (map_ for _ in range(40))},
        {"a": (None for _ in range(40))},
        support.COLOURS,
        tmp_path / "m.mp4",
        10,
    )
    assert most <= 3
