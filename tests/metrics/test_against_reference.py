"""Every metric against the reference, which is written from the definitions alone, on random videos."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from temporalkd.metrics import (
    PROTOCOLS,
    BoundaryIoU,
    BoundaryJitter,
    Consistency,
    Flips,
    FramePair,
    Measure,
    Persistence,
    SegmentationScore,
    Series,
    WarpError,
    iou,
    near_edge,
)

from . import reference as ref
from .footage import CLASSES, motion, patches, random_video, tensor

SEEDS = [0, 1]
labelled_or_not = pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "labelled"])


def approx(values: Any) -> Any:
    return pytest.approx(values, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", SEEDS)
@labelled_or_not
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_consistency(protocol: str, labelled: bool, seed: int) -> None:
    video = random_video(seed)
    metric = Consistency(CLASSES, protocol)
    video.feed(metric, labelled)
    value, per_class, per_pair = ref.consistency(
        video.maps, video.flows, video.masks, CLASSES, protocol, video.known(labelled)
    )
    got = metric.compute()
    assert got["consistency"].item() == approx(value) and 0.05 < value < 0.95
    assert got["per_class"].tolist() == approx(per_class)
    assert metric.series("consistency").each().tolist() == approx(per_pair)
    for t, of_pair in enumerate(metric.series("per_class").each()):
        one = slice(t, t + 2)
        known = None if not labelled else video.labels[one]
        _, expected, _ = ref.consistency(
            video.maps[one], video.flows[t : t + 1], video.masks[t : t + 1], CLASSES, protocol, known
        )
        assert of_pair.tolist() == approx(expected)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_consistency_of_several_clips(protocol: str) -> None:
    videos = [random_video(seed, length) for seed, length in ((4, 3), (5, 4))]
    metric = Consistency(CLASSES, protocol)
    for clip, video in enumerate(videos):
        video.feed(metric, clip=clip)
    per_clip = [ref.consistency(v.maps, v.flows, v.masks, CLASSES, protocol, v.labels) for v in videos]
    per_pair = [value for _, _, values in per_clip for value in values]
    assert metric.series("consistency").each().tolist() == approx(per_pair)
    if protocol == "varghese2020":
        assert metric.compute()["consistency"].item() == approx(ref.mean(per_pair))
        return
    if protocol == "kdssp2025":  # a clip of two pairs weighs as much as one of three
        assert metric.compute()["consistency"].item() == approx(ref.mean(value for value, _, _ in per_clip))
        per_class = [ref.mean(of_clip) for of_clip in zip(*(values for _, values, _ in per_clip))]
        assert metric.compute()["per_class"].tolist() == approx(per_class)
        return
    warp = {"etc2020": ref.etc2020_warp, "vspw2021": ref.vspw2021_warp}.get(protocol, ref.nearest_warp)
    tallies = []
    for v in videos:
        for t, flow in enumerate(v.flows):
            counted, label = np.ones(v.maps[t].shape, bool), None
            if protocol == "visible":
                counted, label = ref.counted_pixels(v.masks[t], flow, v.labels[t : t + 2]), v.labels[t]
            tallies.append(ref.tally(v.maps[t], warp(v.maps[t + 1], flow), counted, CLASSES, label))
    expected = ref.ious(np.sum(tallies, axis=0), protocol)
    assert metric.compute()["per_class"].tolist() == approx(expected)
    assert metric.compute()["consistency"].item() == approx(ref.mean(expected))


@pytest.mark.parametrize("seed", SEEDS)
@labelled_or_not
def test_flips(labelled: bool, seed: int) -> None:
    video = random_video(seed)
    labels = video.known(labelled)
    metric = Flips()
    video.feed(metric, labelled)
    got = {name: value.item() for name, value in metric.compute().items()}
    expected = ref.flip_rates(video.maps, video.flows, video.masks, labels)
    assert [got[k] for k in ("flip_rate", "flip_interior", "flip_boundary")] == approx(list(expected))
    assert all(0 < share < 1 for share in expected), "the video has flips, at boundaries and inside"
    counted, at_edge, right_twice = 0, 0, 0
    for t, flow in enumerate(video.flows):
        known = None if labels is None else labels[t : t + 2]
        here = ref.counted_pixels(video.masks[t], flow, known)
        edges = (video.maps if labels is None else labels)[t]
        counted += int(here.sum())
        at_edge += sum(ref.near_boundary(edges, 4, y, x) for y, x in zip(*np.nonzero(here)))
        if labels is not None:
            right = video.maps[t] == labels[t]
            right_then = ref.nearest_warp(video.maps[t + 1], flow) == ref.nearest_warp(labels[t + 1], flow)
            right_twice += int((here & right & right_then).sum())
    assert got["boundary"] == approx(at_edge / counted)
    assert got["coverage"] == approx(np.mean(video.masks))
    assert got["gated"] == approx(np.nan if labels is None else ref.gated(*_all(video), labels))
    assert got["right_twice"] == approx(np.nan if labels is None else right_twice / counted)


@labelled_or_not
def test_flips_of_each_pair(labelled: bool) -> None:
    video = random_video(6)
    metric = Flips()
    video.feed(metric, labelled)
    for name, number in (("flip_rate", 0), ("flip_interior", 1), ("flip_boundary", 2)):
        expected = []
        for t in range(len(video.flows)):
            known = video.labels[t : t + 2] if labelled else None
            rates = ref.flip_rates(video.maps[t : t + 2], [video.flows[t]], [video.masks[t]], known)
            expected.append(rates[number])
        assert metric.series(name).each().tolist() == approx(expected)
    gated = [
        ref.gated(video.maps[t : t + 2], [video.flows[t]], [video.masks[t]], video.labels[t : t + 2]) if labelled
        else np.nan
        for t in range(len(video.flows))
    ]  # fmt: skip
    assert metric.series("gated").each().tolist() == approx(gated)


@pytest.mark.parametrize("seed", SEEDS)
def test_warp_error(seed: int) -> None:
    video = random_video(seed)
    metric = WarpError()
    video.feed_probs(metric)
    expected = ref.warp_error(video.probs, video.flows, video.masks)
    assert metric.compute()["warp_error"].item() == pytest.approx(expected, rel=1e-5) and expected > 0.05
    each = [ref.warp_error(video.probs[t : t + 2], [f], [m]) for t, (f, m) in enumerate(zip(video.flows, video.masks))]
    assert metric.series("warp_error").each().tolist() == pytest.approx(each, rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("limit", [3.0, 8.0])
@labelled_or_not
def test_boundary_jitter(labelled: bool, limit: float, seed: int) -> None:
    video = random_video(seed)
    metric = BoundaryJitter(limit)
    video.feed(metric, labelled)
    expected = ref.boundary_jitter(video.maps, video.flows, video.masks, video.known(labelled), limit)
    assert metric.compute()["boundary_jitter"].item() == pytest.approx(expected, rel=1e-6) and 0.5 < expected < limit


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("distance", [1, 4])
def test_boundary_iou(distance: int, seed: int) -> None:
    video = random_video(seed)
    metric = BoundaryIoU(CLASSES, distance)
    video.feed_frames(metric)
    value, per_class = ref.boundary_iou(video.maps, video.labels, CLASSES, distance)
    assert metric.compute()["boundary_iou"].item() == approx(value) and 0.1 < value < 0.9
    assert metric.compute()["per_class"].tolist() == approx(per_class)
    each = [ref.boundary_iou([m], [g], CLASSES, distance)[0] for m, g in zip(video.maps, video.labels)]
    assert metric.series("boundary_iou").each().tolist() == approx(each)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("length", [2, 3, 6])
def test_windows(length: int, seed: int) -> None:
    video = random_video(seed, length=6)
    metric = Persistence(CLASSES, length)
    video.feed_frames(metric)
    got = metric.compute()
    videos = video.maps, video.labels
    assert got["vc"].item() == approx(ref.vc_published(*videos, length))
    assert got["vc_correct"].item() == approx(ref.vc_correct(*videos, length)) and 0.2 < got["vc_correct"] < 1
    assert got["vec"].item() == approx(ref.vec(*videos, length)) and 0.1 < got["vec"] < 0.9
    assert len(metric.series("vec").counts) == 6 - length + 1
    starts = range(6 - length + 1)
    windows = [(video.maps[i : i + length], video.labels[i : i + length]) for i in starts]
    assert metric.series("vc_correct").each().tolist() == approx([ref.vc_correct(*w, length) for w in windows])
    assert metric.series("vec").each().tolist() == approx([ref.vec(*w, length) for w in windows])


def test_windows_do_not_reach_from_one_clip_into_the_next() -> None:
    videos = [random_video(seed, length=length) for seed, length in ((7, 4), (8, 2), (9, 5))]
    metric = Persistence(CLASSES, 3)
    for clip, video in enumerate(videos):
        video.feed_frames(metric, clip)
    published = [ref.vc_published(v.maps, v.labels, 3) for v in videos]  # of 1, 0 and 2 windows
    assert np.isnan(published[1])
    assert metric.compute()["vc"].item() == approx((published[0] + 2 * published[2]) / 3)
    correct = [ref.vc_correct(v.maps, v.labels, 3) for v in videos]
    assert np.isnan(correct[1])  # of 2, 0 and 3
    assert metric.compute()["vc_correct"].item() == approx((2 * correct[0] + 3 * correct[2]) / 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy(seed: int) -> None:
    video = random_video(seed)
    metric = SegmentationScore(CLASSES)
    video.feed_frames(metric)
    known = [label != ref.VOID for label in video.labels]
    tallies = [ref.tally(*maps, CLASSES, None) for maps in zip(video.labels, video.maps, known)]
    expected = ref.ious(np.sum(tallies, axis=0))
    assert metric.compute()["iou"].tolist() == approx(expected)
    assert metric.compute()["miou"].item() == approx(ref.mean(expected))
    accuracies = [ref.share(both, truth) for both, truth, _, _ in np.sum(tallies, axis=0).T.tolist()]
    assert metric.compute()["acc"].tolist() == approx(accuracies)
    assert metric.compute()["macc"].item() == approx(ref.mean(accuracies))
    each = [ref.mean(ref.ious(t)) for t in tallies]
    assert metric.series("miou").each().tolist() == approx(each)


@pytest.mark.parametrize("seed", SEEDS)
def test_visible_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    forward = np.array([2.3, -1.1])[:, None, None] + rng.normal(0, 0.4, (2, 17, 19))
    forward[:, :4] += rng.normal(0, 12, (2, 4, 19))
    backward = -np.array([2.3, -1.1])[:, None, None] + rng.normal(0, 0.4, (2, 17, 19))
    forward, backward = forward.astype(np.float32), backward.astype(np.float32)
    expected = ref.visible_mask(forward, backward)
    pair = FramePair.between(torch.from_numpy(forward)[None], torch.from_numpy(backward)[None])
    assert pair.seen.tolist() == expected.tolist() and 0.2 < expected.mean() < 0.8


@pytest.mark.parametrize("size", [(17, 19), (8, 31), (1, 5), (2, 2), (64, 3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_warps(size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    map = rng.integers(0, 19, size)
    flow = motion(rng, size)
    pair = FramePair(torch.from_numpy(flow), torch.ones(size, dtype=torch.bool))
    references = {"nearest": ref.nearest_warp, "etc2020": ref.etc2020_warp, "vspw2021": ref.vspw2021_warp}
    for how, warped in references.items():
        assert pair.warped(tensor(map), how).tolist() == warped(map, flow).tolist(), how
        assert pair.warped(torch.from_numpy(map), how).tolist() == warped(map, flow).tolist(), how


def test_halves_round_up_and_long_flows_stay_exact() -> None:
    flow = np.zeros((2, 4, 700), np.float32)
    flow[0], flow[1, 1] = -0.5, 0.5
    flow[0, 2] = 299.5
    map = np.arange(2800).reshape(4, 700) % 251
    pair = FramePair(torch.from_numpy(flow), torch.ones(4, 700, dtype=torch.bool))
    assert pair.warped(tensor(map)).tolist() == ref.nearest_warp(map, flow).tolist()


@pytest.mark.parametrize("band", [1, 4])
def test_near_edge(band: int) -> None:
    map = patches(np.random.default_rng(3), [0, 1, 2, ref.VOID], (33, 41))
    expected = [[ref.near_boundary(map, band, y, x) for x in range(41)] for y in range(33)]
    assert near_edge(tensor(map), band).tolist() == expected
    assert 0.05 < np.mean(expected) < 0.95


@pytest.mark.parametrize("block", [1, 7, 10])
def test_bootstrap_bounds(block: int) -> None:
    rng = np.random.default_rng(1)
    hits = rng.integers(0, 50, (83, 3))
    hits[:40] //= 3  # the first half is worse: the blocks differ, the more so the longer they are
    tallies = np.stack([hits, hits + rng.integers(0, 30, (83, 3)), hits + rng.integers(0, 30, (83, 3))], axis=1)
    series = Series(
        torch.from_numpy(tallies).flatten(1), torch.zeros(83), Measure(lambda counts: iou(counts).nanmean(-1))
    )
    low, high = ref.block_bootstrap(tallies, block, draws=4000)
    value, *bounds = series.interval(block=block, draws=4000)
    assert [b.item() for b in bounds] == pytest.approx([low, high], abs=0.05 * (high - low))
    assert value.item() == approx(ref.mean(ref.ious(np.pad(tallies.sum(0), ((0, 1), (0, 0))))))


def _all(video: Any) -> tuple[Any, Any, Any]:
    return video.maps, video.flows, video.masks
