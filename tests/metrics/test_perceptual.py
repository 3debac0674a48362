"""Perceptual consistency against brute force, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporalkd.metrics import PerceptualConsistency, perceptual_consistency

from . import reference as ref
from .by_hand import approx
from .footage import patches, tensor


def pair(seed: int, size: tuple[int, int] = (6, 7)) -> tuple[list[ref.Array], list[ref.Array]]:
    """Features of both signs that move by a place, and maps of four classes, three times as large."""
    rng = np.random.default_rng(seed)
    first = rng.normal(0.2, 1, (5, *size)).astype(np.float32)
    second = np.roll(first, 1, 2) + rng.normal(0, 0.3, first.shape).astype(np.float32)
    map = patches(rng, [0, 1, 2, 3], (3 * size[0], 3 * size[1]), side=5)
    return [first, second], [map, np.roll(map, 3 if seed % 2 else 9, 1)]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_it_is_what_brute_force_gives(seed: int, chunk: int) -> None:
    features, maps = pair(seed)
    value, *expected = ref.perceptual(features, maps)
    got = perceptual_consistency(*map(torch.from_numpy, features), *map(tensor, maps), chunk=chunk)
    for direction, wanted in zip(got, expected):
        assert direction.numpy() == pytest.approx(wanted, abs=1e-5)
    assert -0.5 < value < 0.999
    metric = PerceptualConsistency(chunk)
    metric.update(*map(tensor, maps), *map(torch.from_numpy, features))
    assert metric.compute()["perceptual"].item() == pytest.approx(value, abs=1e-5)


def test_a_match_in_another_class_by_hand() -> None:
    # Two places, features e1 and e2 in both frames. At place 0: cosines 1 and 0, mean 1/2, best 1.
    features = torch.eye(2).view(2, 1, 2)
    here, there = torch.tensor([[0, 1]]), torch.tensor([[0, 0]])
    # Place 0 of t finds class 0 in its match: (1 - 1/2) / (1 - 1/2). Place 1 finds class 1 nowhere: (0 - 1/2) / (1/2).
    # Place 0 of t + 1 finds its class; place 1 has class 0 at place 0 alone, which is not alike: 0 again, -1.
    of_t, of_t1 = perceptual_consistency(features, features, here, there)
    assert (of_t.tolist(), of_t1.tolist()) == ([[1, -1]], [[1, -1]])
    # Opposite features: cosines 1 and -1, mean 0, so that a place without its class has 0.
    features = torch.tensor([1.0, -1.0]).view(1, 1, 2)
    of_t, of_t1 = perceptual_consistency(features, features, here, there)
    assert (of_t.tolist(), of_t1.tolist()) == ([[1, 0]], [[1, 0]])
    # Of a pair the worse direction counts; of a video the mean over pairs.
    metric = PerceptualConsistency()
    metric.update(here, there, features, features)
    metric.update(here, here, features, features)
    assert metric.series("perceptual").each().tolist() == approx([1 / 2, 1])
    assert metric.compute()["perceptual"].item() == approx(3 / 4)


def test_it_asks_for_no_motion_and_no_accuracy() -> None:
    features, maps = pair(3)
    moved = perceptual_consistency(*map(torch.from_numpy, features), *(torch.zeros(18, 21) for _ in range(2)))
    assert all(torch.equal(direction, torch.ones(6, 7)) for direction in moved), "a constant map is consistent"
    shifted = [torch.from_numpy(np.roll(array, 2, 2)) for array in features]
    maps = [np.roll(map, 6, 1) for map in maps]
    value = ref.perceptual(*pair(3))[0]
    metric = PerceptualConsistency()
    metric.update(*map(tensor, maps), *shifted)
    assert metric.compute()["perceptual"].item() == pytest.approx(value, abs=1e-5)


def test_batches_flat_frames_and_wrong_shapes() -> None:
    features, maps = zip(*(pair(seed) for seed in (4, 5)))
    metric, one = PerceptualConsistency(), PerceptualConsistency()
    metric.update(*(tensor(np.stack(m)) for m in zip(*maps)), *(torch.from_numpy(np.stack(f)) for f in zip(*features)))
    for f, m in zip(features, maps):
        one.update(*map(tensor, m), *map(torch.from_numpy, f))
    assert metric.compute()["perceptual"] == one.compute()["perceptual"]
    flat = torch.ones(3, 4, 4)
    empty = PerceptualConsistency()
    empty.update(torch.zeros(8, 8).long(), torch.ones(8, 8).long(), flat, flat)
    assert empty.compute()["perceptual"].isnan(), "where all places are alike, there is no match"
    with pytest.raises(ValueError, match=r"\(3, 4, 4\), \(3, 4, 5\)"):
        perceptual_consistency(flat, torch.ones(3, 4, 5), torch.zeros(8, 8), torch.zeros(8, 8))
