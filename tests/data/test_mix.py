"""Parts of clips pasted into each other, with all that belongs to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flow import in_frame, warp
from temporalkd.config import build, parse
from temporalkd.data import Mix
from temporalkd.data.clip import IGNORE, Clip, collate
from temporalkd.data.mix import paste
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import Street
from temporalkd.methods import Method, WeightedLoss
from temporalkd.methods.spatial_terms import PixelKL
from tests import tiny
from tests.data.test_prediction_store import predictions
from tests.data.test_sampler import same
from tests.tiny import SIZE, segmenter


def streets(frames: int = 2, mix: Mix | None = None, folder: Path | None = None) -> ClipSampler:
    sources = [Street(seed, 6, SIZE, light=0, grain=0) for seed in (1, 2)]
    targets = None if folder is None else predictions(folder)
    return ClipSampler(sources, frames, seed=3, mix=mix, targets=targets)


def one_of_two(parts: tuple[Tensor, Tensor], mask: Tensor, found: Tensor) -> bool:
    return torch.equal(found, torch.where(mask, parts[1], parts[0]))


@pytest.mark.parametrize("kind", ["cutmix", "classmix"])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_everything_is_of_the_clip_that_the_pixel_is_of(kind: str, frames: int, tmp_path: Path) -> None:
    clips = streets(frames, folder=tmp_path)
    a, b = clips[0], clips[1]
    mixed, _ = Mix(kind, 1.0)([a, b], [(0, 1), (0, 2)])  # type: ignore[arg-type]
    mask = mixed.pasted
    assert mask is not None and 0.02 < mask.float().mean() < 0.98
    assert one_of_two((a.frames, b.frames), mask, mixed.frames)
    assert one_of_two((a.labels, b.labels), mask[:, :, 0], mixed.labels)
    for p, (anchor, k) in enumerate(a.pairs):
        assert one_of_two((a.flow[:, p], b.flow[:, p]), mask[:, anchor], mixed.flow[:, p])  # type: ignore[index]
        assert one_of_two((a.backward[:, p], b.backward[:, p]), mask[:, k], mixed.backward[:, p])  # type: ignore[index]
    assert mixed.targets is not None and mixed.target_valid is not None
    stride = SIZE[0] // mixed.targets.shape[-2]
    large = mixed.targets.repeat_interleave(stride, -2).repeat_interleave(stride, -1)
    first, second = (x.targets.repeat_interleave(stride, -2).repeat_interleave(stride, -1) for x in (a, b))  # type: ignore[union-attr]
    sure = mixed.target_valid.repeat_interleave(stride, -2).repeat_interleave(stride, -1)
    assert torch.equal((large * sure), torch.where(mask, second, first) * sure) and sure.float().mean() > 0.3


@pytest.mark.parametrize("kind", ["cutmix", "classmix"])
def test_visible_pixels_stay_in_their_clip_both_ways(kind: str) -> None:
    clips, lost = streets(2), 0
    method = Method(segmenter(), [WeightedLoss("pixel_kl", PixelKL())], segmenter(seed=1), frames=2)
    for i in range(6):
        mixed, _ = Mix(kind, 1.0)([clips[i], clips[i + 1]], [(i, 1), (i, 2)])  # type: ignore[arg-type]
        mask = mixed.pasted
        assert mask is not None and mixed.flow is not None and mixed.visible is not None and mixed.backward is not None
        context = method.context(mixed)
        for t, k, flow, back in ((0, 1, mixed.flow[:, 0], False), (1, 0, mixed.backward[:, 0], True)):
            visible = context.motion(0, SIZE, back).visible
            leads = warp(mask[:, k].float(), flow, mode="nearest").bool()
            assert (leads == mask[:, t])[visible].all() and visible.float().mean() > 0.3
            here, there = mixed.frames[:, t], warp(mixed.frames[:, k], flow, mode="nearest")
            assert ((here - there).abs().mean(1, keepdim=True)[visible & in_frame(flow)]).mean() < 0.05
        leads = warp(mask[:, 1].float(), mixed.flow[:, 0], mode="nearest").bool()
        assert not (mixed.visible[:, 0] & (leads != mask[:, 0])).any()
        lost += int((leads != mask[:, 0]).sum())
    assert lost > 0


def test_classes_are_pasted_whole_and_move_with_their_clip() -> None:
    clips = streets(3)
    a, b = clips[0], clips[3]
    mixed, _ = Mix("classmix", 1.0)([a, b], [(5, 1), (5, 2)])
    mask, label = mixed.pasted, b.labels[:, b.anchor]
    assert mask is not None
    inside = {int(c) for c in label[mask[:, b.anchor, 0]].unique()}
    outside = {int(c) for c in label[~mask[:, b.anchor, 0]].unique()}
    assert inside and not inside & outside and IGNORE not in inside
    assert b.backward is not None
    for pair, k in enumerate((0, 2)):
        moved = torch.isin(b.labels[:, k], torch.tensor(sorted(inside)))
        shown = in_frame(b.backward[:, pair])[:, 0]
        assert not mask[:, k, 0][~shown].any(), "the anchor does not say what comes into view"
        assert (moved == mask[:, k, 0])[shown].float().mean() > 0.9, "as that frame's own, but for what is uncovered"


def test_a_rectangle_stands_still() -> None:
    clips = streets(3)
    mixed, _ = Mix("cutmix", 1.0)([clips[0], clips[1]], [(0, 1), (0, 2)])
    mask = mixed.pasted
    assert mask is not None and (mask == mask[:, :1]).all()
    rows, columns = mask[0, 0, 0].any(1), mask[0, 0, 0].any(0)
    assert mask[0, 0, 0].sum() == rows.sum() * columns.sum()


def test_a_batch_is_a_function_of_seed_and_position() -> None:
    clips = streets(2, Mix(share=0.5))
    positions = [[0, 1, 2, 3], [4, 5, 6, 7]]
    alone, workers = (
        list(DataLoader(clips, batch_sampler=positions, collate_fn=collate, num_workers=n)) for n in (0, 2)
    )
    assert all(same(x, y) for x, y in zip(alone, workers, strict=True))
    pasted = torch.cat([batch.pasted.flatten(1).any(1) for batch in alone])
    assert 0 < pasted.sum() < 8
    plain = collate([streets(2)[i] for i in range(4)])
    changed = (plain.frames != alone[0].frames).flatten(1).any(1)
    assert torch.equal(changed, pasted[:4])


def test_frames_without_labels_and_motion() -> None:
    def bare(clip: Clip) -> Clip:
        return paste(clip, clip, torch.zeros_like(clip.valid))

    clips = ClipSampler([], 2, unlabelled=[Street(0, 6, SIZE)], motion=False)
    a, b = clips[0], clips[1]
    mixed, _ = Mix("cutmix", 1.0)([a, b], [(0, 1), (0, 2)])
    assert mixed.flow is None and mixed.pasted is not None and mixed.pasted.any() and not mixed.labelled.any()
    same_again, _ = Mix("classmix", 1.0)([a, b], [(0, 1), (0, 2)])
    assert same(same_again, bare(a)), "no class is known"
    with_labels = ClipSampler([Street(0, 6, SIZE)], 2, motion=False)
    with pytest.raises(ValueError, match=r"classmix .*carry none.*flow\.cached"):
        Mix("classmix", 1.0)([with_labels[0], with_labels[1]], [(0, 1), (0, 2)])


def test_a_config_mixes(tmp_path: Path) -> None:
    values = tiny.config(tmp_path)
    values["data"]["mix"] = {"kind": "classmix", "share": 0.25}
    config = parse(values, "test")
    assert build.sampler(config, build.training_footage(config)).mix == Mix("classmix", 0.25)
