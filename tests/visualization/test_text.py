"""Text that fits."""

from __future__ import annotations

import pytest
import torch

from temporalkd.visualization.overlay import default_palette
from temporalkd.visualization.text import PAPER, caption, legend

PALETTE = [(10, 20, 30), (200, 100, 0), (0, 255, 128)]


def inked(bar: torch.Tensor) -> torch.Tensor:
    """(H, W) bool, where a bar is not paper."""
    return (bar != torch.tensor(PAPER, dtype=torch.uint8).view(3, 1, 1)).any(0)


@pytest.mark.parametrize("width", [120, 400])
def test_captions_fit_and_do_not_touch(width: int) -> None:
    alone_left = inked(caption(width, "baseline", ""))
    assert alone_left[:, : width // 2].any()
    assert not alone_left[:, -4:].any()
    both = inked(caption(width, "baseline", "consistency 88.5 %"))
    columns = both.any(0).nonzero()[:, 0]
    assert columns.min() >= 2
    assert columns.max() <= width - 2
    gaps = columns.diff()
    assert gaps.max() >= 5  # between the two parts
    rows = both.any(1).nonzero()[:, 0]
    assert 0 < rows.min() < rows.max() < both.shape[0] - 1


def test_legend_shows_every_colour_and_wraps() -> None:
    palette = default_palette(11)
    names = [f"class number {index}" for index in range(11)]
    wide, narrow = legend(2000, names, palette), legend(200, names, palette)
    assert narrow.shape[1] > 3 * wide.shape[1]
    for bar in (wide, narrow):
        seen = {tuple(colour) for colour in bar.flatten(1).T.tolist()}
        assert {tuple(colour) for colour in palette.tolist()} <= seen
        assert not inked(bar)[:, -1].any()
    with pytest.raises(ValueError, match="11 class names, but the palette has 3 colours"):
        legend(200, names, PALETTE)


@pytest.mark.parametrize("width", [120, 300])
def test_a_long_name_is_cut_short_before_the_numbers(width: int) -> None:
    long = "a name that is far longer than any panel is wide " * 3
    columns = inked(caption(width, long, "flips 1.2 %")).any(0).nonzero()[:, 0]
    assert columns.max() <= width - 2
    assert columns.diff().max() >= 3
