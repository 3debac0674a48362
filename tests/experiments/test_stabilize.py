"""The same network comes back, steadier; or the original, with the reason."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import temporalkd as tkd
from temporalkd.data.clip import Motion
from temporalkd.data.selection import Selection, resized, select, spread
from temporalkd.data.semi import PartlyLabelled
from temporalkd.data.source import Source
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import evaluate, network
from temporalkd.experiments import api
from temporalkd.experiments.stabilize import Options, Stabilized
from temporalkd.experiments.stabilize.before_after import Shape, accuracy
from temporalkd.experiments.stabilize.job import Job
from temporalkd.experiments.stabilize.judge import Judge, agreement, unlabelled
from temporalkd.experiments.stabilize.recordings import choose
from temporalkd.experiments.stabilize.report import shares, vanished
from temporalkd.experiments.stabilize.verdict import Verdict, decide, mixed
from temporalkd.models import Segmenter, freeze
from temporalkd.training import Runtime
from tests.tiny import SIZE, segmenter

LENGTH = 64


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))


class Filmed(Street):
    """A street of which each frame and label is drawn once."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **settings)
        self.drawn: dict[tuple[str, int], Tensor] = {}

    def frame(self, index: int) -> Tensor:
        if ("frame", index) not in self.drawn:
            self.drawn["frame", index] = super().frame(index)
        return self.drawn["frame", index]

    def label(self, index: int) -> Tensor:
        if ("label", index) not in self.drawn:
            self.drawn["label", index] = super().label(index)
        return self.drawn["label", index]


class Blank(Source):
    """Black frames."""

    name = "blank"

    def __init__(self, length: int, fps: float = 5.0):
        self.length, self.fps = length, fps

    def __len__(self) -> int:
        return self.length

    def frame(self, index: int) -> Tensor:
        return torch.zeros(3, 8, 8, dtype=torch.uint8)


@cache
def camera(length: int = LENGTH) -> Source:
    return Filmed(3, length, SIZE, fps=5.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A network that has seen a few streets."""
    network = segmenter(seed=2)
    clips = tkd.data.ClipSampler([Filmed(seed, 6, SIZE) for seed in range(2)], frames=1)
    folder = tmp_path_factory.mktemp("trained")
    tkd.train(tkd.methods.baseline(network), clips, 60, folder, lr=2e-2, accelerator="cpu")
    return network.eval()


def steady(network: Any, folder: Path, video: Any = None, **options: Any) -> Stabilized:
    known: dict[str, Any] = {
        "steps": 4, "batch": 2, "check_every": 2, "flow": "dis", "film": False, "accelerator": "cpu", "lr": 1e-3,
        "mix": 0.5, "scales": (1.0, 1.25), "max_frames": 24, "tell": lambda line: None,
    }  # fmt: skip
    return tkd.stabilize(network, camera() if video is None else video, out=folder, **known | options)


def weights(network: Segmenter) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.network.state_dict().items()}


def test_a_street_becomes_steadier(trained: Segmenter, tmp_path: Path) -> None:
    """A network this small changes more of its pixels than a real one."""
    before = weights(trained)
    lines: list[str] = []
    done = steady(trained, tmp_path / "steady.safetensors", steps=30, check_every=15, agreement=0.85, tell=lines.append)
    assert done.kept, done.reason
    results = done.results
    assert results["after"]["consistency_dis"] > results["before"]["consistency_dis"]
    assert results["after"]["agreement"] >= 85 and results["before"]["agreement"] == 100
    assert all(torch.equal(value, trained.network.state_dict()[key]) for key, value in before.items())
    again = tkd.load(tmp_path / "steady.safetensors")
    frames = torch.rand(1, 3, *SIZE)
    torch.testing.assert_close(again(frames).logits, done.network(frames).logits)
    assert done.folder == tmp_path / "steady.run" and (done.folder / "report.md").is_file()
    assert json.loads((done.folder / "results.json").read_text()).keys() == {"before", "after"}
    assert any("12 frames from the end are held out" in line for line in lines) and any(
        "about" in line for line in lines
    )


def test_a_larger_network_teaches_too(trained: Segmenter, tmp_path: Path) -> None:
    """One that is always sure of class 0: what it teaches moves towards that, and the run is not resumed without it."""
    sure = segmenter(seed=1)
    with torch.no_grad():
        sure.network.classifier.weight.zero_()  # type: ignore[union-attr, operator]
        sure.network.classifier.bias.copy_(torch.tensor([20.0] + [0.0] * (len(CLASSES) - 1)))  # type: ignore[union-attr, arg-type]
    options: dict[str, Any] = {"steps": 40, "mix": 1.0, "lr": 1e-2}
    short, frame = camera(24), camera().frame(0)[None].float() / 255
    share = []
    for name, teacher in (("alone", None), ("taught", sure)):
        done = steady(trained, tmp_path / name, short, teacher=teacher, **options)
        share.append(float(done.network(frame).logits.softmax(1)[:, 0].mean()))
    assert share[1] > share[0] + 0.2, share
    with pytest.raises(ValueError, match="other options or another network"):
        steady(trained, tmp_path / "taught", short, resume=True, **options)
    with pytest.raises(ValueError, match="it has 3 classes, the network 9"):
        steady(trained, tmp_path / "third", teacher=segmenter(3))


def test_the_original_comes_back_where_it_would_change_too_much(trained: Segmenter, tmp_path: Path) -> None:
    done = steady(trained, tmp_path / "run", agreement=1.0, lr=2e-2, mix=1.0)
    assert not done.kept and "original comes back" in done.reason
    assert list(done.results) == ["before", "rejected candidate"]
    assert done.results["rejected candidate"]["agreement"] < 100, "the candidate's numbers, not the original's"
    assert "| percent | before | rejected candidate |" in (done.folder / "report.md").read_text()
    assert all(torch.equal(a, b) for a, b in zip(weights(done.network).values(), weights(trained).values()))


def test_a_resumed_run_gives_the_same_bits(trained: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = steady(trained, tmp_path / "whole")
    step = Job.train.__globals__["Trainer"]._keep

    def interrupted(self: Any, *args: Any) -> None:
        step(self, *args)
        if self.done == 3:
            self.interrupts.asked = True

    monkeypatch.setattr(Job.train.__globals__["Trainer"], "_keep", interrupted)
    parts = steady(trained, tmp_path / "parts")
    assert "interrupted" in parts.reason and parts.weights.is_file()
    with pytest.raises(FileExistsError, match="resume it"):
        steady(trained, tmp_path / "parts")
    monkeypatch.setattr(Job.train.__globals__["Trainer"], "_keep", step)
    with pytest.raises(ValueError, match="begun with other options"):
        steady(trained, tmp_path / "parts", resume=True, lr=0.1)
    parts = steady(trained, tmp_path / "parts", resume=True)
    assert parts.kept == whole.kept and parts.results == whole.results
    assert all(torch.equal(a, b) for a, b in zip(weights(parts.network).values(), weights(whole.network).values()))


def test_what_trained_comes_back_unless_it_must_not() -> None:
    """Half of the new weights, unless the held-out part refuses half and accepts another share."""
    before, after = segmenter(seed=0), segmenter(seed=1)
    before.network.classifier.bias.data.fill_(0.0)  # type: ignore[union-attr]
    after.network.classifier.bias.data.fill_(1.0)  # type: ignore[union-attr]

    class Told(Judge):
        """Knows a network's numbers by its share of the new weights."""

        def __init__(self, agreements: dict[float, float], gain: float = 4.0):
            self.agreements, self.gain, self.limit = agreements, gain, 0.95
            self.before = {"consistency": 80.0, "flip_rate": 2.0, "flip_interior": 1.0, "agreement": 100.0}

        def __call__(self, network: Segmenter) -> dict[str, float | None]:
            share = float(network.network.classifier.bias[0])  # type: ignore[union-attr, index, arg-type]
            found: dict[str, float | None] = dict(self.before)
            found |= {"consistency": 80 + self.gain * share, "agreement": self.agreements[share]}
            return found | {"accepted": None if self.objection(found) else found["consistency"]}

    def decided(agreements: list[float], share: float | None = None, **settings: float) -> Verdict:
        judge = Told(dict(zip((0.25, 0.5, 0.75, 1.0), agreements)), **settings)
        return decide(before, after, share, judge, "after 9 steps")

    half = decided([99, 98, 97, 96])
    assert half.kept and half.share == 0.5 and list(half.seen) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert float(half.candidate.network.classifier.bias[0]) == 0.5  # type: ignore[union-attr, index, arg-type]
    less = decided([96, 94, 92, 90])
    assert less.kept and less.share == 0.25 and "0.25 of the new weights" in less.reason
    assert decided([90, 90, 96, 97]).share == 1.0, "the steadiest of those that are accepted"
    assert not decided([90, 90, 90, 90]).kept and not decided([99, 99, 99, 99], gain=-1.0).kept
    asked = decided([99, 98, 97, 96], 1.0)
    assert asked.kept and asked.share == 1.0 and list(asked.seen) == [0.0, 1.0]
    assert not decided([99, 98, 97, 90], 1.0).kept, "a share that is asked for is not replaced"
    table = shares(half)
    assert "| 0.5 (taken) | 82.00 | 2.00 | 1.00 | 98.00 |" in table and "| 0 | 80.00 | 2.00 | 1.00 | 100.00 |" in table
    alone = decide(before, after, None, None, "after 9 steps")
    assert alone.kept and alone.share == 0.5 and shares(alone) == []


def test_a_class_that_vanishes_is_said() -> None:
    found = {"before": {"class_shares": [90.0, 9.0, 1.0, 0.0]}, "after": {"class_shares": [95.5, 4.5, 0.4, 0.0]}}
    (line,) = vanished(found, ["road", "car", "pole", "sign"])
    assert "pole" in line and "1 %" in line and "0.4 %" in line


def test_the_size_is_that_of_training(tmp_path: Path) -> None:
    net = segmenter()
    sizes = {}
    for name, trained_size in (("known", (24, 40)), ("unknown", None)):
        assert net.spec is not None
        net.spec = replace(net.spec, trained_size=trained_size)
        api.save(net, tmp_path / name / "net.pth")
        for given in (None, 32):
            job = Job(tkd.load(tmp_path / name / "net.pth"), None, Options(size=given), tmp_path, Runtime("cpu"), print)
            sizes[name, given] = job.size
    assert sizes == {("known", None): 40, ("known", 32): 32, ("unknown", None): 640, ("unknown", 32): 32}


def test_labels_are_for_the_report_alone(trained: Segmenter, tmp_path: Path) -> None:
    """Accuracy where labels lie outside of the held-out part, which are then none of the frames shown."""

    video = PartlyLabelled(camera(), [1, 3])
    done = steady(trained, tmp_path / "labelled", video, steps=1)
    without = steady(trained, tmp_path / "unlabelled", unlabelled(camera()), steps=1)
    assert all(torch.equal(a, b) for a, b in zip(weights(done.network).values(), weights(without.network).values()))
    expected = accuracy(network(trained), [video], trained.classes)
    assert done.results["before"]["miou_labelled"] == pytest.approx(expected)
    assert "miou_labelled" not in without.results["before"] and "miou" not in without.results["before"]


def test_mix_is_between_before_and_after() -> None:
    before, after = segmenter(seed=0), segmenter(seed=1)
    old, new = weights(before), weights(after)
    for share in (0.0, 0.5, 1.0):
        found = weights(mixed(before, after, share))
        for key, value in found.items():
            torch.testing.assert_close(value, (1 - share) * old[key] + share * new[key])


def test_motion_passes_and_footage_to_keep(trained: Segmenter, tmp_path: Path) -> None:
    done = steady(trained, tmp_path / "run", camera(10), motion=0.3, flow_passes=1, keep=[Street(9, 4, SIZE)], steps=3)
    log = [json.loads(line) for line in (done.folder / "log.jsonl").read_text().splitlines()]
    assert {"pixel_kl", "motion_consistency"} <= log[-1].keys()


def test_a_mended_recording_has_a_map_a_frame(trained: Segmenter, tmp_path: Path) -> None:
    done = steady(trained, tmp_path / "run", camera(), mend=tmp_path / "maps", steps=2, size=32)
    assert len(list((tmp_path / "maps").glob("*.png"))) == LENGTH
    assert "no held-out part" in done.reason


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"net\.onnx: an ONNX file cannot be trained"):
        steady(tmp_path / "net.onnx", tmp_path / "run")
    with pytest.raises(ValueError, match="classes: missing"):
        steady(nn.Conv2d(3, 4, 3), tmp_path / "run", normalisation="none")
    with pytest.raises(ValueError, match="no option 'stepps'"):
        steady(segmenter(), tmp_path / "run", stepps=3)
    with pytest.raises(ValueError, match=r"mix: .*got 2"):
        steady(segmenter(), tmp_path / "run", mix=2)
    with pytest.raises(ValueError, match="stabilize: kl and motion: both are 0"):
        steady(segmenter(), tmp_path / "run", kl=0)


def test_frames_are_spread_in_runs_and_the_end_is_held_out() -> None:
    assert spread(0, 40, 100) == [(0, 40)]
    assert spread(0, 1000, 32) == [(0, 8), (331, 339), (661, 669), (992, 1000)]
    footage = choose([Blank(100, fps=10)], 640, 40)
    assert [(s.start, s.stop) for s in footage.held] == [(88, 100)]
    assert sum(map(len, footage.used)) == 40 and max(s.stop for s in footage.used) <= 78
    assert not choose([Blank(59)], 640, 40).held
    both = choose([Blank(100), Blank(30)], 640, 40)
    assert sum(map(len, both.used)) <= 40 and len(both.held) == 1


def test_selected_frames_are_the_recordings_resized() -> None:
    source = camera(10)
    (part,) = select(source, [(3, 7)], 32)
    assert isinstance(part, Selection) and part.frame(1).shape == (3, 24, 32)
    assert torch.equal(part.frame(2), resized(source.frame(5), 32))
    assert part.labelled == [0, 1, 2, 3] and part.label(0).shape == (24, 32)  # type: ignore[union-attr]
    (whole,) = select(source, [(3, 7)], 640)
    exact = whole.motion(0, 1)
    assert exact is not None and torch.equal(exact.flow, source.motion(3, 4).flow)  # type: ignore[union-attr]
    assert part.motion(0, 1) is None


def test_numbers_by_hand() -> None:
    a, b = torch.zeros(4, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8)
    b[:2, :2] = 1
    assert agreement([b], [a]) == 12 / 16
    shape = Shape.of([b], 3)
    assert shape.classes == [0.75, 0.25, 0.0]
    assert shape.small_regions == 2 and shape.boundary == 3 / 16


class Shown(nn.Module):
    """Red where the frame is, class 1; else class 0; `seen` False: class 0 alone."""

    def __init__(self, seen: bool):
        super().__init__()
        self.seen = nn.Parameter(torch.tensor(float(seen)))

    def forward(self, x: Tensor) -> Tensor:
        red = (x[:, :1] - 0.5) * self.seen - (1 - self.seen)
        return torch.cat([torch.zeros_like(red), red], 1)


class Blinking(Blank):
    """A red square that is there in every other frame."""

    def frame(self, index: int) -> Tensor:
        pixels = super().frame(index)
        pixels[0, :3, :3] = 255 * (index % 2)
        return pixels

    def motion(self, source: int, target: int) -> Motion:
        return Motion(torch.zeros(2, 8, 8), torch.zeros(2, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool))


def test_a_class_that_vanishes_does_not_pay(flow_cache: Any) -> None:
    before, after = (Segmenter(Shown(seen), 2, normalisation="none") for seen in (True, False))
    judge = Judge(before, [Blinking(6)], {"exact": None}, flow_cache, limit=0.0)
    found = judge(after)
    assert judge.before["consistency"] == pytest.approx(100 * (55 / 64) / 2, abs=1e-3)
    assert found["consistency"] == pytest.approx(50.0), "100 % of one class, and nothing of the other"
    (row,) = evaluate([Blinking(6)], {"after": network(after)}, 2, {"exact": None}, references=False)
    assert row["consistency"] == pytest.approx(100.0), "where it stands alone"


def test_a_judge_objects(trained: Segmenter, flow_cache: Any) -> None:
    original = freeze(trained.clone())
    judge = Judge(original, choose([camera()], 640, 20).held, {"exact": None}, flow_cache)  # type: ignore[arg-type]
    same = judge(trained)
    assert same["agreement"] == 100 and same["accepted"] is None
    assert "did not rise" in str(judge.objection(same))
    better = {"consistency": judge.before["consistency"] + 1, "agreement": 99.0}
    assert judge.objection(better) is None
    assert "keep the original's class" in str(judge.objection(better | {"agreement": 50.0}))
    assert original.classes == len(CLASSES)


class Pattern(Source):
    """A fine checkerboard on the left of a noisy ramp of brightness that stands still."""

    name, fps = "pattern", 5.0

    def __init__(self, noise: float):
        self.noise = noise

    def __len__(self) -> int:
        return 12

    def frame(self, index: int) -> Tensor:
        ramp = torch.linspace(60, 200, 96).expand(3, 64, 96).clone()
        ramp[..., :48] += 50 * (torch.arange(64)[:, None] + torch.arange(48)).remainder(2)
        noise = torch.randn(64, 96, generator=torch.Generator().manual_seed(index))
        return (ramp + self.noise * noise).clamp(0, 255).to(torch.uint8)


class Says(nn.Module):
    """Two classes, by how much of a filter's answer there is."""

    def __init__(self, kernel: list[list[float]], threshold: float):
        super().__init__()
        self.kernel, self.threshold = nn.Parameter(torch.tensor(kernel)[None, None]), threshold

    def forward(self, frames: Tensor) -> Tensor:
        answer = nn.functional.conv2d(frames.mean(1, keepdim=True), self.kernel, padding="same").abs()
        return torch.cat([self.threshold - answer, answer - self.threshold], 1) * 20


@pytest.mark.parametrize(
    ("kernel", "threshold", "scales"),
    [([[1.0]], 0.5, (0.75, 1.0, 1.25)), ([[1.0, -1.0], [-1.0, 1.0]], 0.2, (1.0,))],
    ids=["brightness", "a pattern that resizing destroys"],
)
def test_resized_views_teach_where_they_are_steadier(
    tmp_path: Path, kernel: list[list[float]], threshold: float, scales: tuple[float, ...]
) -> None:
    original = freeze(tkd.Segmenter(Says(kernel, threshold), classes=2, normalisation="none"))
    told: list[str] = []
    options = Options(flow="dis", agreement=0.8)
    job = Job(original, None, options, tmp_path, Runtime("cpu"), told.append)  # type: ignore[arg-type]
    footage = choose([Pattern(8.0)], 96, 12, hold_out=False)
    assert job._views(footage).scales == scales
    assert told[-1].endswith(f"{2 * len(scales)} views")
    assert not any(part.training for part in original.modules())  # targets come without dropout
