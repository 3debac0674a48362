"""Colours where they belong."""

from __future__ import annotations

import pytest
import torch

from temporalkd.visualization.overlay import RED, colourise, enlarge, flips_in_red, overlay, resize

PALETTE = [(10, 20, 30), (200, 100, 0), (0, 255, 128)]
LABELS = torch.tensor([[0, 1, 2], [255, 1, 0]], dtype=torch.uint8)
FRAME = torch.tensor([100, 50, 200], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 3)


def at(image: torch.Tensor, row: int, column: int) -> tuple[int, ...]:
    return tuple(image[:, row, column].tolist())


@pytest.mark.parametrize("palette", [PALETTE, torch.tensor(PALETTE), torch.tensor(PALETTE, dtype=torch.uint8)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_colourise(palette: object, dtype: torch.dtype) -> None:
    image = colourise(LABELS.to(dtype), palette)
    assert (image.dtype, image.shape) == (torch.uint8, (3, 2, 3))
    assert [at(image, 0, column) for column in range(3)] == PALETTE
    assert at(image, 1, 0) == (0, 0, 0)


def test_overlay_mixes_and_leaves_ignored_pixels() -> None:
    image = overlay(FRAME, LABELS, PALETTE, alpha=0.25)
    assert at(image, 0, 1) == (125, 62, 150)  # 0.75 frame + 0.25 colour, 62.5 to even
    assert at(image, 1, 0) == (100, 50, 200)
    assert torch.equal(overlay(FRAME, LABELS, PALETTE, alpha=0), FRAME)
    assert at(overlay(FRAME, LABELS, PALETTE, alpha=1), 0, 2) == (0, 255, 128)
    assert torch.equal(overlay(FRAME.float() / 255, LABELS, PALETTE), overlay(FRAME, LABELS, PALETTE))


def test_flips_in_red() -> None:
    flips = torch.zeros(2, 3, dtype=torch.bool)
    flips[1, 2] = True
    image = flips_in_red(FRAME, flips)
    assert at(image, 1, 2) == RED
    red, green, blue = at(image, 0, 0)
    assert red == green == blue < 117  # dim grey


def test_enlarge_repeats_pixels_or_smooths() -> None:
    image = torch.tensor([0, 200], dtype=torch.uint8).view(1, 1, 2).expand(3, 1, 2)
    assert enlarge(image, 3)[0].tolist() == [[0, 0, 0, 200, 200, 200]] * 3
    smooth = enlarge(image, 3, smooth=True)
    assert smooth.shape == (3, 3, 6)
    assert smooth[0, 0].unique().numel() > 2


def test_resize_smooths_photographs_and_keeps_the_classes_of_maps() -> None:
    labels = torch.tensor([[0, 0, 7, 7], [0, 0, 7, 7]], dtype=torch.uint8)
    assert resize(labels, (1, 2)).tolist() == [[0, 7]]
    assert resize(labels, (3, 5)).unique().tolist() == [0, 7]
    assert resize(labels == 7, (4, 8)).dtype == torch.bool
    assert torch.equal(resize(labels == 7, (4, 8)), (labels == 7).repeat_interleave(2, 0).repeat_interleave(2, 1))
    image = torch.tensor([[0, 200], [100, 100]], dtype=torch.uint8).expand(3, 2, 2)
    assert resize(image, (1, 1), smooth=True).flatten().tolist() == [100] * 3
    assert resize(image, (2, 2)) is image
