"""Labels that are hidden, weak ones in their place, and clips of both kinds in turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.data.clip import IGNORE, Augment, Clip, collate
from temporalkd.data.label_maps import write_map
from temporalkd.data.sampler import ClipSampler, file_name
from temporalkd.data.semi import PartlyLabelled, coarsened, hide_labels
from temporalkd.data.source import Source
from temporalkd.data.street import Street
from tests.data.test_sampler import Numbered, same

SIZE = (48, 64)


def quiet(seed: int, length: int = 8) -> Street:
    return Street(seed, length, SIZE, light=0, grain=0)


def split(*sources: Source, **settings: Any) -> tuple[set[tuple[int, int]], set[tuple[int, int]], set[tuple[int, int]]]:
    """(source, frame) of what kept its label, of what did not, and of those that show a weak one."""
    made = hide_labels(sources, **settings)
    kept = {(s, i) for s, x in enumerate(made) for i in x.labelled}
    hidden = {(s, i) for s, x in enumerate(made) for i in x.withheld}
    return kept, hidden, {(s, i) for s, x in enumerate(made) for i in x.shown}


def test_the_split_is_one_function_of_the_seed() -> None:
    sources = [Numbered(30), Numbered(10, labelled=[1, 5, 6])]
    kept, hidden, shown = split(*sources, labelled=0.25, share=0.5)
    assert (kept, hidden, shown) == split(*sources, labelled=0.25, share=0.5)
    assert not kept & hidden and kept | hidden == {*((0, i) for i in range(30)), (1, 1), (1, 5), (1, 6)}
    assert (len(kept), len(hidden), len(shown)) == (8, 25, 12) and shown < hidden
    assert kept < split(*sources, labelled=0.5)[0], "a smaller share is a part of a larger one"
    assert kept != split(*sources, labelled=0.25, seed=1)[0]
    assert split(*sources, labelled=1.0)[1] == set()


def test_coarse_labels_by_hand() -> None:
    label = torch.zeros(9, 12, dtype=torch.uint8)
    label[:, 6:] = 3
    label[4, 1] = 7  # thinner than the square
    label[0, 11] = IGNORE
    expected = torch.full((9, 12), IGNORE, dtype=torch.uint8)
    expected[:, :5], expected[:, 7:] = 0, 3
    expected[3:6, 0:3] = IGNORE
    expected[:2, 10:] = IGNORE
    assert torch.equal(coarsened(label, 1), expected), "known unless another class, or void, is one pixel away"


@pytest.mark.parametrize("margin", [None, 1, 4])
def test_coarse_labels_are_right_where_they_are_known(margin: int | None) -> None:
    label = quiet(3).label(0)
    coarse = coarsened(label, margin)
    known = coarse != IGNORE
    assert torch.equal(coarse[known], label[known]) and 0.1 < known.double().mean() < 0.95
    assert (coarsened(label, 4) != IGNORE).sum() < (coarsened(label, 1) != IGNORE).sum()


def test_carried_labels_come_from_the_nearest_labelled_frame() -> None:
    street = quiet(5)
    made = PartlyLabelled(street, kept={0, 6}, shown={1, 5}, weak="flow")
    for i in (1, 5, 0, 6):
        carried, label = made.weak(i), street.label(i)
        assert carried is not None
        known = carried != IGNORE
        assert known.double().mean() > 0.5 and (carried == label)[known].double().mean() > 0.9
    assert made.weak(2) is None
    hidden_only = PartlyLabelled(Poisoned(street, {0, 6}), kept={0, 6}, shown={1, 5}, weak="flow")
    assert all(torch.equal(made.weak(i), hidden_only.weak(i)) for i in (1, 5))  # type: ignore[arg-type]
    assert PartlyLabelled(street, kept={0}, weak="flow").weak(0) is None, "there is no other"


class Poisoned(Source):
    """Another source, whose labels are wrong on all frames but some."""

    def __init__(self, source: Source, right: set[int]):
        self.source, self.right, self.name = source, right, source.name

    def __len__(self) -> int:
        return len(self.source)

    def frame(self, index: int) -> Tensor:
        return self.source.frame(index)

    def motion(self, source: int, target: int) -> Any:
        return self.source.motion(source, target)

    @property
    def labelled(self) -> list[int]:
        return self.source.labelled

    def label(self, index: int) -> Tensor | None:
        label = self.source.label(index)
        return label if label is None or index in self.right else 8 - label


def sampler(frames: int = 1, weak: float | None = 1.0, labelled: float = 0.25, **settings: Any) -> ClipSampler:
    sources = hide_labels([quiet(1), quiet(2)], labelled, share=0.5)
    return ClipSampler(sources, frames, seed=5, weak=weak, **settings)


def test_clips_with_and_without_labels_take_turns() -> None:
    clips = sampler()
    assert (len(clips.labelled), len(clips.unlabelled), len(clips)) == (4, 12, 16)
    drawn = [clips[i] for i in range(24)]
    assert [bool(c.labelled) for c in drawn] == [True, False] * 12
    for clip in drawn[1::2]:
        assert (clip.labels == IGNORE).all()
    frames = [c.frames.sum().item() for c in drawn]
    assert len(set(frames[1::2])) == 12 and len(set(frames[0:8:2])) == 4, "each once an epoch"
    assert len({tuple(frames[k : k + 8 : 2]) for k in (0, 8, 16)}) > 1, "each epoch in an order of its own"
    assert collate(drawn[:4]).weak.shape == (4, *SIZE)  # type: ignore[union-attr]


def test_neighbours_do_not_give_hidden_labels_away() -> None:
    clips = sampler(frames=3)
    kept = {(s, i) for s, source in enumerate(clips.sources) for i in source.labelled}
    assert len(kept) == 4
    for i in range(16):
        clip = clips[i]
        assert torch.equal(clip.labelled[0], (clip.labels[0] != IGNORE).flatten(1).any(1))
        assert int(clip.labelled.sum()) <= 3 * (i % 2 == 0)
    truth = {tuple(x.hidden_label(i).flatten().tolist()) for x in clips.sources for i in x.withheld}  # type: ignore[union-attr]
    for clip in (clips[i] for i in range(16)):
        assert not truth & {tuple(label.flatten().tolist()) for label in clip.labels[0]}


def test_weak_labels_move_with_their_frames() -> None:
    clips = sampler(frames=2, augment=Augment((60, 56), (0.75, 1.5)))
    shares = []
    for i in range(0, 20, 2):
        clip = clips[i]
        assert clip.weak is not None
        labels, known = clip.labels[:, clip.anchor], clip.weak != IGNORE
        assert torch.equal(clip.weak[known], labels[known]), "a coarse label is right where it is known, still"
        assert not (known & ~clip.valid[:, clip.anchor, 0]).any()
        shares.append(known.double().mean().item())
    assert min(shares) > 0.05 and len(set(shares)) > 5


def test_labelled_frames_show_their_weak_label_as_often_as_others_do() -> None:
    def shown(clips: ClipSampler, turn: int) -> float:
        return sum(bool((clips[i].weak != IGNORE).any()) for i in range(turn, 100, 2)) / 50  # type: ignore[union-attr]

    assert shown(sampler(weak=0.0), 0) == 0 and shown(sampler(weak=1.0), 0) == 1
    assert 0.3 < shown(sampler(weak=0.5), 0) < 0.7
    assert shown(sampler(weak=0.0), 1) == pytest.approx(0.5, abs=0.05), "six of the twelve others"


def test_made_labels_stand_in_for_weak_ones(tmp_path: Path) -> None:
    clips = sampler()
    before = [clips[i] for i in range(24)]
    for number, anchor in enumerate(clips.unlabelled):
        write_map(tmp_path / file_name(anchor), torch.full(SIZE, number % 9))
    clips.pseudo = tmp_path
    for i, old in enumerate(before):
        new = clips[i]
        assert torch.equal(new.frames, old.frames)
        assert same(new, old) if i % 2 == 0 else len(new.weak.unique()) == 1  # type: ignore[union-attr]
    whole: Clip = clips.whole(clips.unlabelled[3])
    assert whole.frames.shape == (1, 1, 3, *SIZE) and (whole.weak == 3).all() and not whole.labelled.any()
