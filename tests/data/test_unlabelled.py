"""Footage without labels beside labelled frames: a range of its frames, its share, and what is learnt from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.config import ConfigError, build, parse
from temporalkd.data import ImageFolder
from temporalkd.data.clip import IGNORE, Clip, collate
from temporalkd.data.datasets import Video
from temporalkd.data.prediction_store import fill
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.selection import Part, within
from temporalkd.data.source import Source
from temporalkd.data.street import Street
from temporalkd.methods import Method, WeightedLoss
from temporalkd.methods.spatial_terms import PixelKL
from temporalkd.models import save_segmenter
from tests import tiny
from tests.data.test_sampler import Numbered
from tests.tiny import SIZE, fake_camvid, segmenter, spec


def test_a_range_of_a_video_is_all_that_is_read() -> None:
    street = Street(0, 9, SIZE)
    part = Part(street, within(street, (2, 6)))
    assert len(part) == 4 and part.labelled == [] and part.label(0) is None
    assert torch.equal(part.clip([0, 3]), street.clip([2, 5])) and torch.equal(part.frame(1), street.frame(3))
    assert torch.equal(part.motion(0, 1).flow, street.motion(2, 3).flow)  # type: ignore[union-attr]
    assert part.origin(1) == (part, 1, None), "whoever averages along the flow stays within"
    with pytest.raises(IndexError):
        part.frame(4)
    assert [*within(street, (5, None))] == [5, 6, 7, 8] and [*within(street, (5, 50))] == [5, 6, 7, 8]
    with pytest.raises(ValueError, match=r"frames: \[9, 12\], but .* has 9"):
        within(street, (9, 12))


def test_several_folders_each_with_a_range(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path / "camvid", {"train": 3, "val": 6})
    found = Video(path=[str(root / "val"), str(root / "train")], frames=(1, 4)).open()
    assert [len(source) for source in found.sources] == [3, 2]
    assert found.sources[0].files(0) == [root / "val" / "0001_00001.png"]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75])
def test_the_share_holds_in_every_stretch(share: float) -> None:
    clips = ClipSampler([Numbered(7)], 1, unlabelled=[Numbered(30, labelled=[])], share=share, seed=3)
    drawn = [not bool(clips[i].labelled.any()) for i in range(80)]
    assert all(abs(sum(drawn[:n]) - share * n) < 1 for n in range(1, 81)) and sum(drawn) == share * 80


@pytest.mark.parametrize("share", [0.25, 0.4])
def test_each_frame_is_drawn_once_an_epoch_of_its_kind(share: float) -> None:
    clips = ClipSampler([Numbered(6)], 1, unlabelled=[Numbered(10, labelled=[])], share=share)
    drawn = [clips[i] for i in range(100)]
    for bare, count in ((False, 6), (True, 10)):
        kind = [c.frames.mean().item() for c in drawn if bool(c.labelled.any()) is not bare]
        assert len(set(kind[:count])) == count and sorted(kind[:count]) == sorted(kind[count : 2 * count])


def mixed(folder: Path, share: float | None = 0.5, **sections: Any) -> dict[str, Any]:
    """A config of moved stills, and the first frames of a clip that has labels; those must not be read."""
    root = fake_camvid(folder / "camvid", {"train": 3, "val": 8})
    for path in (root / "valannot").iterdir():
        path.write_bytes(b"not to be read")
    save_segmenter(segmenter(11, seed=1), spec(11), folder / "teacher.safetensors", {})
    values = tiny.config(folder, "baseline", **sections)
    values["data"] = {
        "train": {"dataset": "camvid", "root": str(root)},
        "unlabelled": {"dataset": "video", "path": str(root / "val"), "frames": [0, 5]},
        "unlabelled_share": share,
        "frames": 2,
        "gaps": [1, 2],
    }
    values["teacher"] = {"weights": str(folder / "teacher.safetensors"), "views": {"flip": True, "scales": [1.0]}}
    return values


def sampler(values: dict[str, Any]) -> ClipSampler:
    config = parse(values, "test")
    data = build.training_footage(config)
    return build.sampler(config, data, targets=build.targets(config, build.teacher(config, data)))


def test_stills_with_motion_and_footage_without_share_a_batch(tmp_path: Path) -> None:
    clips = sampler(mixed(tmp_path))
    drawn = [clips[i] for i in range(20)]
    batch = collate(drawn)
    assert batch.flow is None, "the footage's is not known, and no flow is configured"
    assert batch.labelled.any(1).tolist() == [True, False] * 10
    assert (batch.labels[1::2] == IGNORE).all()
    assert len(clips.unlabelled) == 5
    estimated = sampler(mixed(tmp_path / "flow") | {"flow": {"kind": "dis", "cache": str(tmp_path / "cache")}})
    assert collate([estimated[i] for i in range(2)]).flow is not None


def test_the_front_door_mixes_them_too(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path / "camvid", {"train": 3, "val": 8})
    clips = ImageFolder(
        root / "train",
        root / "trainannot",
        void=11,
        synthetic_motion=True,
        unlabelled=root / "val",
        unlabelled_frames=(0, 5),
        share=0.5,
    )
    assert (len(clips.labelled), len(clips.unlabelled)) == (3, 5)
    assert collate([clips[i] for i in range(4)]).labelled.any(1).tolist() == [True, False] * 2


def test_a_share_needs_both_kinds(tmp_path: Path) -> None:
    values = mixed(tmp_path)
    del values["data"]["unlabelled"]
    with pytest.raises(ConfigError, match=r"data\.unlabelled_share: needs frames with labels and frames without"):
        sampler(values)


def test_distillation_reaches_both_frames_of_a_pair_without_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "store"))
    values = mixed(tmp_path)
    values["teacher"]["store"] = True
    values["method"] = {"name": "baseline", "terms": [{"term": "pixel_kl", "options": {"neighbours": 1, "tau": 2}}]}
    config = parse(values, "test")
    data = build.training_footage(config)
    teacher = build.teacher(config, data)
    targets = build.targets(config, teacher)
    assert targets is not None
    asked: list[Source] = []

    def counted(source: Source, index: int, pixels: Tensor | None = None) -> Tensor:
        asked.append(source)
        return targets(source, index, pixels)

    clips = build.sampler(config, data, targets=counted)
    fill(counted, clips.sources)
    assert len(asked) == 3 + 5, "each still and each frame of the range, once"
    student = segmenter(11)
    method = build.method(config, student, teacher, data)
    batch = collate([clips[i] for i in range(4)])
    context = method.context(batch)
    context.predict(student)
    context.student.prediction.native.retain_grad()
    method.terms["pixel_kl"].term(context).backward()
    gradient = context.student.prediction.native.grad
    assert gradient is not None
    assert (gradient.unflatten(0, (4, 2)).abs().flatten(2).sum(2) > 0).all(), "anchors and neighbours, labelled or not"
    terms = method.training_step(batch).terms
    assert all(torch.isfinite(value) for value in terms.values()) and set(terms) == {"cross_entropy", "pixel_kl"}


def test_a_batch_without_any_label_teaches_by_the_teacher_alone() -> None:
    clips = ClipSampler([], 2, unlabelled=[Street(0, 5, SIZE)])
    method = Method(segmenter(), [WeightedLoss("pixel_kl", PixelKL(neighbours=1))], segmenter(seed=1), frames=2)
    batch: Clip = collate([clips[i] for i in range(2)])
    assert not batch.labelled.any() and method.training_step(batch).loss > 0
