"""Clips: what is drawn depends on (seed, position) alone, and frames, labels and motion move together."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flow import in_frame, visible, warp
from temporalkd.data.clip import Augment, Clip, ColourJitter, collate
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.source import Source
from temporalkd.data.street import Street

SIZE = (48, 64)
WHOLE = Augment(crop=(40, 56), scale=(0.75, 1.5))


class Numbered(Source):
    """Frame i is grey i; label i is class i % 5; no motion is known."""

    def __init__(self, length: int, name: str = "numbered", labelled: list[int] | None = None):
        self.length, self.name = length, name
        self.with_label = list(range(length)) if labelled is None else labelled

    def __len__(self) -> int:
        return self.length

    def frame(self, index: int) -> Tensor:
        return torch.full((3, 8, 8), index, dtype=torch.uint8)

    def label(self, index: int) -> Tensor | None:
        return torch.full((8, 8), index % 5, dtype=torch.uint8) if index in self.with_label else None

    @property
    def labelled(self) -> list[int]:
        return self.with_label


def numbers(clip: Clip) -> list[int]:
    return [round(255 * float(frame.mean())) for frame in clip.frames[0]]


def same(a: Clip, b: Clip) -> bool:
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(Clip)]
    return all(torch.equal(x, y) if isinstance(x, Tensor) else x == y for x, y in pairs)


def quiet_streets(count: int = 2) -> list[Street]:
    return [Street(seed, 8, SIZE, light=0, grain=0) for seed in range(count)]


def test_a_position_gives_the_same_clip_whenever_and_whoever_asks() -> None:
    def make() -> ClipSampler:
        return ClipSampler([Street(s, 5, SIZE) for s in range(2)], 2, seed=4, augment=WHOLE)

    first, other = make(), make()
    late = first[13]
    other[2]
    torch.rand(7)
    assert same(late, other[13]) and same(late, first[13])
    assert not same(late, first[12])


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(workers: int) -> None:
    sampler = ClipSampler([Street(s, 4, SIZE) for s in range(2)], 2, seed=4, augment=WHOLE)
    positions = [[3, 4], [5, 6], [7, 8], [9, 10]]
    torch.manual_seed(workers)
    loaded = list(DataLoader(sampler, batch_sampler=positions, collate_fn=collate, num_workers=workers))
    for batch, wanted in zip(loaded, positions):
        assert same(batch, collate([sampler[i] for i in wanted]))


def test_each_anchor_once_an_epoch_in_an_order_of_its_own() -> None:
    sampler = ClipSampler([Numbered(10)], 1, seed=1)
    epochs = [[numbers(sampler[10 * e + i])[0] for i in range(10)] for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(10))
    other = ClipSampler([Numbered(10)], 1, seed=2)
    assert [numbers(other[i])[0] for i in range(10)] != epochs[0]


def test_two_frames_anchor_first_with_a_neighbour_on_either_side() -> None:
    sampler = ClipSampler([Numbered(20)], 2, gaps=(2, 4), seed=0)
    assert len(sampler) == 20
    gaps = set()
    for position in range(100):
        clip = sampler[position]
        anchor, neighbour = numbers(clip)
        gaps.add(neighbour - anchor)
        assert (clip.anchor, clip.pairs) == (0, [(0, 1)])
        assert clip.labels[0, :, 0, 0].tolist() == [anchor % 5, neighbour % 5]
    assert gaps == {-4, -3, -2, 2, 3, 4}


def test_three_frames_in_temporal_order_with_one_gap() -> None:
    sampler = ClipSampler([Numbered(12)], 3, gaps=(1, 3), seed=0)
    gaps = set()
    for position in range(80):
        clip = sampler[position]
        before, anchor, after = numbers(clip)
        assert anchor - before == after - anchor
        gaps.add(after - anchor)
        assert (clip.anchor, clip.pairs) == (1, [(1, 0), (1, 2)])
    assert gaps == {1, 2, 3}
    assert sorted(numbers(sampler[i])[1] for i in range(10)) == list(range(1, 11)), "the ends have no neighbours"


@pytest.mark.parametrize(("frames", "gap", "length"), [(2, 5, 5), (3, 3, 6), (2, 1, 1)])
def test_a_gap_longer_than_the_video_names_it(frames: int, gap: int, length: int) -> None:
    with pytest.raises(ValueError, match=rf"short has {length} frame.*gap of {gap}"):
        ClipSampler([Numbered(length, "short")], frames, gaps=(gap, gap + 1))
    assert len(ClipSampler([Numbered(length, "short"), Numbered(20)], frames, gaps=(gap, gap + 1))) > 0


def test_unlabelled_footage_is_used_without_its_labels() -> None:
    sampler = ClipSampler([Numbered(3)], 2, gaps=(1, 1), unlabelled=[Numbered(50)], seed=0)
    assert len(sampler) == 53
    seen = 0
    for position in range(53):
        clip = sampler[position]
        if max(numbers(clip)) > 2 or not clip.labelled.any():
            seen += 1
            assert not clip.labelled.any() and (clip.labels == 255).all()
        else:
            assert clip.labelled.all() and (clip.labels < 5).all()
    assert seen == 50


def test_frames_between_labels_have_none() -> None:
    clip = ClipSampler([Numbered(9, labelled=[4])], 3)[0]
    assert numbers(clip)[1] == 4 and clip.labelled.tolist() == [[False, True, False]]
    assert (clip.labels[0, [0, 2]] == 255).all() and (clip.labels[0, 1] == 4).all()


WRONG = {"still": (0, 0), "mirrored": (-1, 1), "too far": (1.5, 1.5), "too near": (0.6, 0.6)}


def disagreement(clip: Clip, factors: tuple[float, float]) -> Tensor:
    """Share of other labels and mean colour difference, along the flow times these factors, at visible pixels."""
    assert clip.flow is not None and clip.visible is not None
    values = []
    for p, (anchor, k) in enumerate(clip.pairs):
        seen = clip.visible[:, p] & in_frame(clip.flow[:, p])
        flow = clip.flow[:, p] * torch.tensor(factors).view(2, 1, 1)
        moved = warp(clip.labels[:, k : k + 1], flow, "nearest")
        counted = seen & (clip.labels[:, anchor : anchor + 1] != 255) & (moved != 255)
        assert seen.float().mean() > 0.15
        colour = (warp(clip.frames[:, k], flow) - clip.frames[:, anchor]).abs().mean(1, keepdim=True)
        label = (moved != clip.labels[:, anchor : anchor + 1]).float()
        values.append(torch.stack([label[counted].mean(), colour[seen].mean()]))
    return torch.stack(values).mean(0)


@pytest.mark.parametrize(
    "augment",
    [
        None,
        Augment(flip=True),
        Augment(crop=(32, 40), flip=False),
        Augment(scale=(1.5, 2.5), flip=False),
        Augment(scale=(0.5, 0.6), flip=False),
        WHOLE,
        Augment(crop=(60, 80), scale=(0.6, 0.9)),
    ],
    ids=["none", "flip", "crop", "larger", "smaller", "all", "padded"],
)
def test_motion_moves_with_the_picture(augment: Augment | None) -> None:
    sampler = ClipSampler(quiet_streets(), 3, gaps=(1, 2), seed=2, augment=augment)
    clips = [sampler[position] for position in range(8)]
    labels, colours = torch.stack([disagreement(clip, (1, 1)) for clip in clips]).mean(0).tolist()
    assert labels < 0.07 and colours < 0.03
    for name, factors in WRONG.items():
        other = torch.stack([disagreement(clip, factors) for clip in clips]).mean(0).tolist()
        assert labels < 0.95 * other[0] and colours < 0.9 * other[1], name


def test_backward_comes_back() -> None:
    sampler = ClipSampler(quiet_streets(), 2, seed=2, augment=WHOLE)
    for position in range(6):
        clip = sampler[position]
        assert clip.flow is not None and clip.backward is not None and clip.visible is not None
        seen = clip.visible[:, 0] & in_frame(clip.flow[:, 0])
        gap = (clip.flow[:, 0] + warp(clip.backward[:, 0], clip.flow[:, 0])).norm(dim=1, keepdim=True)
        assert gap[seen].median() < 0.1


def test_padding_is_marked() -> None:
    sampler = ClipSampler(quiet_streets(), 2, seed=0, augment=Augment(crop=(80, 100), flip=False))
    for position in range(4):
        clip = sampler[position]
        valid = clip.valid[0, 0, 0]
        assert clip.visible is not None
        rows, columns = valid.any(1), valid.any(0)
        assert (int(rows.sum()), int(columns.sum()), int(valid.sum())) == (*SIZE, SIZE[0] * SIZE[1])
        assert (clip.labels[0, :, ~valid] == 255).all() and (clip.labels[0, :, valid] < 255).all()
        assert (clip.frames[0, :, :, ~valid] == 0).all() and not clip.visible[0, 0, 0, ~valid].any()
        assert torch.equal(clip.valid[0, 1, 0], valid)
    assert ClipSampler(quiet_streets(), 1, augment=Augment(crop=SIZE))[0].valid.all()


def test_masks_are_scaled_by_the_nearest_pixel_centre() -> None:
    street = Street(0, 1, (48, 66))
    clip = ClipSampler([street], 1, augment=Augment(scale=(1 / 3, 1 / 3), flip=False))[0]
    assert torch.equal(clip.labels[0, 0], street.label(0)[1::3, 1::3].long())


def test_a_frame_is_read_once_for_its_pixels_and_its_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = Numbered.frame

    def counted(self: Numbered, index: int) -> Tensor:
        read.append(index)
        return plain(self, index)

    monkeypatch.setattr(Numbered, "frame", counted)
    still = torch.zeros(1, 2, 8, 8)
    clip = ClipSampler([Numbered(9)], 3, seed=1, estimate=lambda a, b: (still, still))[0]
    assert clip.flow is not None and sorted(read) == sorted(numbers(clip)), "each of the three once"


def test_estimated_motion_stands_in_where_none_is_known() -> None:
    calls = []

    def estimate(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        calls.append((float(a.mean()) * 255, float(b.mean()) * 255))
        forward = torch.zeros(1, 2, 8, 8, dtype=torch.float16)
        forward[:, 0] = 2
        backward = -forward.clone()
        backward[..., 4] += 9  # does not come back there
        return forward, backward

    clip = ClipSampler([Numbered(9)], 3, seed=1, estimate=estimate)[0]
    before, anchor, after = numbers(clip)
    assert [tuple(round(x) for x in call) for call in calls] == [(anchor, before), (anchor, after)]
    assert clip.flow is not None and clip.backward is not None and clip.visible is not None
    assert clip.flow.dtype == torch.float32 and (clip.flow[:, :, 0] == 2).all()
    for p in range(2):
        assert torch.equal(clip.visible[:, p], visible(clip.flow[:, p], clip.backward[:, p]))
    expected = torch.tensor([True, True, False, True, True, True, False, False])
    assert (clip.visible[0, 0, 0] == expected).all()


def test_clip_moves_whole() -> None:
    clip = ClipSampler(quiet_streets(), 2)[0].to("meta")
    assert {getattr(clip, f.name).device.type for f in fields(Clip) if isinstance(getattr(clip, f.name), Tensor)} == {
        "meta"
    }
    assert clip.pairs == [(0, 1)]


def test_colour_jitter_is_one_draw_a_clip() -> None:
    frames = torch.rand(2, 1, 3, 8, 8).repeat(1, 3, 1, 1, 1)
    jittered = ColourJitter(0.4)(frames, seed=3)
    assert torch.allclose(jittered[:, 0], jittered[:, 1]) and torch.allclose(jittered[:, 0], jittered[:, 2])
    assert (jittered - frames).abs().mean() > 0.01
    assert jittered.min() >= 0 and jittered.max() <= 1
    one = torch.rand(1, 1, 3, 8, 8).repeat(2, 1, 1, 1, 1)
    two = ColourJitter(0.4)(one, seed=3)
    assert not torch.allclose(two[0], two[1]), "clips of a batch are coloured apart"
