"""Stored predictions are the live teacher's, and move with the frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from flow import in_frame, resize_flow, warp
from flow.store import Store
from temporalkd import losses
from temporalkd.config import ConfigError, parse
from temporalkd.data.clip import Augment, Coordinates, identity, read_at
from temporalkd.data.motion import MovedStill
from temporalkd.data.prediction_store import FlowAveragedStore, PredictionStore, fill
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.source import Source
from temporalkd.data.street import Street
from temporalkd.experiments import run
from temporalkd.methods import Method, WeightedLoss
from temporalkd.methods.etc import ETC
from temporalkd.methods.spatial_terms import PixelKL
from temporalkd.models import StoredTeacher, fingerprint, freeze, to_store
from tests import tiny
from tests.tiny import SIZE, segmenter

HEIGHT, WIDTH = SIZE


def predictions(folder: Path, network: Any = None) -> PredictionStore:
    network = freeze(segmenter() if network is None else network)
    return PredictionStore(Store(folder, 2**30, "prediction store"), to_store(network), fingerprint(network))


def colours(folder: Path) -> PredictionStore:
    """Of a teacher whose probabilities are the frame's own colours, at every second pixel."""

    def predict(frames: Tensor) -> Tensor:
        small = torch.nn.functional.interpolate(frames, scale_factor=0.5, mode="bilinear", align_corners=False)
        return (small + 0.1) / (small + 0.1).sum(1, keepdim=True)

    return PredictionStore(Store(folder, 2**30), predict, "colours")


class Ramp(Source):
    """Smooth frames, so that interpolating costs nothing."""

    name = "ramp"

    def __len__(self) -> int:
        return 3

    def frame(self, index: int) -> Tensor:
        y, x = torch.meshgrid(torch.linspace(0.1, 0.9, HEIGHT), torch.linspace(0.1, 0.9, WIDTH), indexing="ij")
        return (255 * torch.stack([x, y, 0.3 + 0.1 * index + 0 * x])).round().byte()


def of_frames(frames: Tensor, cells: tuple[int, int]) -> Tensor:
    """What the teacher of colours says of frames (T, 3, H, W) themselves, at so many cells."""
    small = torch.nn.functional.interpolate(frames, cells, mode="bilinear", align_corners=False) + 0.1
    return small / small.sum(1, keepdim=True)


def test_without_augmentation_it_is_the_live_teacher(tmp_path: Path) -> None:
    network = segmenter().eval()
    clips = ClipSampler([Street(0, 4, SIZE)], 2, targets=predictions(tmp_path, network))
    clip = clips[1]
    assert clip.targets is not None and clip.target_valid is not None and bool(clip.target_valid.all())
    live = to_store(network)(clip.frames[0])
    torch.testing.assert_close(clip.targets[0].exp(), live, atol=2e-3, rtol=2e-3)
    method = Method(segmenter(), [WeightedLoss("pixel_kl", PixelKL(neighbours=1))], StoredTeacher(network), frames=2)
    torch.testing.assert_close(method.context(clip).teacher.probs(0)[0], live[0], atol=2e-3, rtol=2e-3)


def test_each_frame_is_computed_once(tmp_path: Path) -> None:
    store = predictions(tmp_path)
    clips = ClipSampler([Street(0, 4, SIZE)], 2, targets=store)
    fill(store, clips.sources)
    assert (store.hits, store.misses) == (0, 4)
    first = [clips[i].targets for i in range(6)]
    assert store.misses == 4
    again = ClipSampler([Street(0, 4, SIZE)], 2, targets=predictions(tmp_path))
    assert all(torch.equal(a, b.targets) for a, b in zip(first, (again[i] for i in range(6))))  # type: ignore[arg-type]
    other = predictions(tmp_path, segmenter(seed=1))
    other(clips.sources[0], 0)
    assert other.misses == 1


@pytest.mark.parametrize(
    "augment",
    [
        Augment(None, (1.0, 1.0), True),
        Augment((24, 32), (1.0, 1.0), False),
        Augment(None, (0.6, 1.4), False),
        Augment((32, 40), (0.8, 1.33), True),
        Augment((64, 96), (1.0, 1.0), True),
    ],
    ids=["flip", "crop", "scale", "all", "padded"],
)
def test_it_moves_as_the_frame_moves(augment: Augment, tmp_path: Path) -> None:
    """A teacher of colours says of the moved frame what its moved prediction says."""
    clips = ClipSampler([], 2, unlabelled=[Ramp()], augment=augment, targets=colours(tmp_path))
    for position in range(6):
        clip = clips[position]
        assert clip.targets is not None and clip.target_valid is not None
        cells = (clip.targets.shape[-2], clip.targets.shape[-1])
        assert cells == (-(-clip.frames.shape[-2] // 2), -(-clip.frames.shape[-1] // 2))
        expected = of_frames(clip.frames[0], cells)
        known = clip.target_valid[0].expand_as(expected).clone()
        assert torch.equal(known[:, :1].any(), torch.tensor(True))
        known[..., [0, -1], :] = known[..., [0, -1]] = False  # interpolated towards the edge by both, each its own way
        difference = (clip.targets[0].exp() - expected).abs()[known]
        assert float(difference.max()) < 0.02 and float(difference.mean()) < 0.004


def test_padding_has_no_target(tmp_path: Path) -> None:
    clips = ClipSampler([], 1, unlabelled=[Ramp()], augment=Augment((64, 96), flip=False), targets=colours(tmp_path))
    clip = clips[0]
    assert clip.target_valid is not None
    real = torch.nn.functional.interpolate(clip.valid[0].float(), clip.target_valid.shape[-2:], mode="area") == 1
    assert not bool((clip.target_valid[0] & ~real).any()) and 0.4 < float(clip.target_valid.float().mean()) < 0.52


def test_a_moved_still_has_the_stills_own_target(tmp_path: Path) -> None:
    still = Ramp()
    moved = MovedStill(still, 0, strength=0.05, seed=1)
    clips = ClipSampler([], 2, (3, 3), unlabelled=[moved], targets=colours(tmp_path / "store"))
    store = clips.targets
    assert isinstance(store, PredictionStore)
    for position in range(4):
        clip = clips[position]
        assert clip.targets is not None and clip.target_valid is not None
        expected = of_frames(clip.frames[0], (HEIGHT // 2, WIDTH // 2))
        known = clip.target_valid[0].expand_as(expected)
        assert float((clip.targets[0].exp() - expected).abs()[known].max()) < 0.03
    assert store.misses == 1
    outside = [float(clips[i].target_valid.float().mean()) for i in range(8)]  # type: ignore[union-attr]
    assert min(outside) < 1


def test_coordinates_follow_any_chain() -> None:
    where = Coordinates(identity(HEIGHT, WIDTH)[None])
    chain = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomCrop((20, 30))])
    frame = tv_tensors.Video(torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.uint8))
    moved = chain(frame, where)[1].as_subclass(Tensor)[0]
    assert torch.equal(moved[0, 0].diff(), torch.full((29,), -1.0))
    log_probs = torch.randn(3, HEIGHT // 2, WIDTH // 2).log_softmax(0)
    back, valid = read_at(log_probs, SIZE, identity(HEIGHT, WIDTH))
    torch.testing.assert_close(back.exp(), log_probs.exp(), atol=2e-5, rtol=1e-3)
    assert bool(valid.all())


def test_averages_along_the_motion(tmp_path: Path) -> None:
    """Of two frames it is losses.flow_averaged_teacher; more passes change less from frame to frame."""
    source, base = Street(0, 2, SIZE), predictions(tmp_path)
    averaged = FlowAveragedStore(base, lambda a, b: (a, b), "exact", passes=1)
    motion = source.motion(0, 1)
    assert motion is not None
    p, q = base(source, 0).exp()[None], base(source, 1).exp()[None]
    flow = resize_flow(motion.flow[None], (p.shape[2], p.shape[3]))
    seen = torch.nn.functional.interpolate(motion.visible[None].float(), p.shape[2:], mode="nearest-exact").bool()
    pair = losses.flow_averaged_teacher
    expected = pair(p, q, flow, seen & in_frame(flow))
    torch.testing.assert_close(averaged(source, 0).exp()[None], expected, atol=2e-3, rtol=2e-3)

    longer = Street(0, 5, SIZE)

    def change(passes: int) -> float:
        targets = FlowAveragedStore(base, lambda a, b: (a, b), "exact", passes)
        maps = [targets(longer, i).exp()[None] for i in range(5)]
        total = 0.0
        for i in range(4):
            there = longer.motion(i, i + 1)
            assert there is not None
            small = resize_flow(there.flow[None], (p.shape[2], p.shape[3]))
            total += float((maps[i] - warp(maps[i + 1], small)).abs().mean())
        return total

    changes = [change(passes) for passes in range(3)]
    assert changes[0] > changes[1] > changes[2]


def values_of(folder: Path, stored: bool, **data: Any) -> dict[str, Any]:
    values = tiny.config(folder, "kd")
    values["data"] |= data
    values["teacher"] |= {"store": stored}
    values["training"] |= {"gradient_norms_every": 0}
    return values


def curve(folder: Path, values: dict[str, Any]) -> list[list[float]]:
    run.train(parse(values, "test"), folder, say=lambda line: None, score=False)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [[row[key] for key in row if key not in ("seconds", "waited")] for row in rows]


def test_training_with_it_is_the_same_whatever_was_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))
    plain = curve(tmp_path / "plain", values_of(tmp_path, False, flip=False))
    cold, warm = (curve(tmp_path / name, values_of(tmp_path, True, flip=False)) for name in ("cold", "warm"))
    assert cold == warm
    assert (tmp_path / "cache" / "teacher").is_dir()
    for with_it, without in zip(cold, plain, strict=True):
        assert with_it[1:3] == pytest.approx(without[1:3], rel=0.05)
    moved = curve(tmp_path / "moved", values_of(tmp_path, True, crop=[32, 32], scale=[0.8, 1.3], disturbance=1.0))
    assert all(value == value for row in moved for value in row)


def test_a_stored_teacher_of_views_and_passes_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))
    values = values_of(tmp_path, True, crop=[32, 32])
    weights = values["teacher"].pop("weights")
    values["teacher"] |= {"ensemble": [weights, weights], "views": {"scales": [1, 0.75]}, "flow_passes": 1}
    values["flow"] = {"kind": "dis"}
    assert len(curve(tmp_path / "run", values)) == 6


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no feature of role 'head', it has: logits"):
        Method(segmenter(seed=1), ETC().losses(), StoredTeacher(segmenter()), frames=3)
    values = values_of(tmp_path, True, disturbance=1.0)
    values["teacher"]["disturbed"] = True
    with pytest.raises(ConfigError, match=r"teacher\.disturbed: .*teacher\.store to false"):
        run.train(parse(values, "test"), tmp_path / "run", say=lambda line: None)
    values = values_of(tmp_path, True)
    values["teacher"]["flow_passes"] = 1
    with pytest.raises(ConfigError, match=r"teacher\.flow_passes.*set flow"):
        run.train(parse(values, "test"), tmp_path / "run", say=lambda line: None)
