"""The loop: it learns, goes on where it was stopped, and keeps a record."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from flow.store import PATTERN
from temporalkd import __version__
from temporalkd.config import Config, load, parse
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import CLASSES, Street
from temporalkd.experiments import run
from temporalkd.methods import ETC, METHODS, RAMP, Baseline, DistillationContext, LossTerm, Method, WeightedLoss
from temporalkd.models import Segmenter
from temporalkd.training import Plan, Runtime, Trainer, checkpoint
from temporalkd.training.step import Stepper
from tests import tiny
from tests.cli_support import write_frames

CPU = "cpu"


def quiet(line: str) -> None:
    """Nobody reads it."""


def train(values: dict[str, Any], folder: Path, resume: bool = False, score: bool = True) -> dict[str, Tensor]:
    """The trained student's tensors."""
    run.train(parse(values, "test"), folder, resume, quiet, score)
    return load_file(folder / "student.safetensors")


def rows(folder: Path, *without: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in without} for line in lines]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def is_plain(student: dict[str, Tensor]) -> bool:
    """Whether it is the tiny network and nothing more, whatever trained it."""
    plain = tiny.segmenter().network.state_dict()
    return {key: value.shape for key, value in student.items()} == {key: value.shape for key, value in plain.items()}


def trainer(folder: Path, method: Method, frames: int = 1, evaluate: Any = None, **plan: Any) -> Trainer:
    clips = ClipSampler([Street(s, 6, tiny.SIZE, light=0, grain=0) for s in range(2)], frames, seed=1)
    settings = {"steps": 6, "batch": 2, "lr": 0.01, "log_every": 1} | plan
    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(method, clips, Plan(**settings), Runtime(CPU), folder, evaluate)


def test_it_learns(tmp_path: Path) -> None:
    method = Method(tiny.segmenter(), Baseline().losses())
    trainer(tmp_path, method, steps=60, lr=0.02, gradient_norms_every=0).fit()
    losses = [row["loss"] for row in rows(tmp_path)]
    assert len(losses) == 60
    assert sum(losses[-8:]) / 8 < 0.6 * sum(losses[:4]) / 4


def interrupt_after(monkeypatch: pytest.MonkeyPatch, done: int) -> Callable[[], None]:
    """Ctrl-C in the step after `done`; returns what takes that away again."""
    original = Stepper._accumulate

    def stop(self: Stepper, number: int, clips: Any) -> Any:
        if number == done:
            raise KeyboardInterrupt
        return original(self, number, clips)

    monkeypatch.setattr(Stepper, "_accumulate", stop)
    return lambda: monkeypatch.setattr(Stepper, "_accumulate", original)


LOGGED = ("etc", "stckd", "footage")


@pytest.mark.parametrize("method", LOGGED)
def test_an_interrupted_training_goes_on_as_if_nothing_happened(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    val = {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8}
    values = tiny.config(tmp_path, method)
    values["data"] |= {"val": val, "jitter": 0.3, "crop": [40, 48], "scale": [0.8, 1.4]}
    values["student"]["arguments"] = {"dropout": 0.3}
    values["training"] |= {"checkpoint_every": 3, "evaluate_every": 2, "gradient_norms_every": 2, "warmup": 2}
    if method == "footage":
        values["data"]["unlabelled"] = {
            "dataset": "street",
            "count": 1,
            "length": 6,
            "size": list(tiny.SIZE),
            "seed": 7,
        }
        values["training"]["ema"] = 0.9
    whole = train(values, tmp_path / "whole")
    again = interrupt_after(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        train(values, tmp_path / "cut")
    assert [row["step"] for row in rows(tmp_path / "cut")] == [1, 2, 3, 4]
    again()
    torch.manual_seed(99)
    resumed = train(values, tmp_path / "cut", resume=True)
    assert same(whole, resumed) and is_plain(whole)
    clock = ("seconds", "waited")
    assert rows(tmp_path / "cut", *clock) == rows(tmp_path / "whole", *clock)
    assert [row["step"] for row in rows(tmp_path / "cut")] == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "cut" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    states = [checkpoint.load(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")]
    for name, module in states[0]["trainables"].items():
        assert same(module, states[1]["trainables"][name]), name
    assert states[0]["best"] == states[1]["best"] > 0 and torch.equal(*(state["rng"][0]["cpu"] for state in states))


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {*LOGGED}))
def test_a_seed_gives_one_student_interrupted_or_not(method: str, tmp_path: Path, monkeypatch: Any) -> None:
    values = tiny.config(tmp_path, method, training={"steps": 4, "checkpoint_every": 2, "gradient_norms_every": 0})
    whole = train(values, tmp_path / "whole", score=False)
    assert is_plain(whole) and not same(whole, tiny.segmenter(seed=3).network.state_dict())
    go_on = interrupt_after(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        train(values, tmp_path / "cut", score=False)
    go_on()
    torch.manual_seed(99)
    assert same(whole, train(values, tmp_path / "cut", resume=True, score=False))


def test_a_run_is_not_overwritten_nor_resumed_with_another_config(tmp_path: Path) -> None:
    values = tiny.config(tmp_path)
    train(values, tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(FileExistsError, match=r"already holds a run: --resume"):
        train(values, tmp_path / "run")
    values["training"]["lr"] = 0.5
    with pytest.raises(ValueError, match=r"training\.lr"):
        train(values, tmp_path / "run", resume=True)
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}


@pytest.mark.parametrize("damage", ["cut", "student"])
def test_resuming_from_a_bad_checkpoint_names_it(damage: str, tmp_path: Path) -> None:
    values = tiny.config(tmp_path)
    train(values, tmp_path / "run")
    (tmp_path / "run" / "student.safetensors").unlink()
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        state = checkpoint.load(path)
        state["trainables"]["students"]["student.network.classifier.weight"] = torch.zeros(11, 8, 1, 1)
        checkpoint.save(state, path)
    with pytest.raises(ValueError, match=r"last\.pt is (damaged|of another student.*classifier\.weight)"):
        train(values, tmp_path / "run", resume=True)


def test_the_same_seed_gives_the_same_student_whatever_the_workers(tmp_path: Path) -> None:
    students = {}
    for name, workers, seed in (("none", 0, 3), ("one", 1, 3), ("other seed", 0, 4)):
        values = tiny.config(tmp_path, "etc")
        values["seed"] = seed
        values["student"]["arguments"] = {"dropout": 0.3}
        values["data"] |= {"jitter": 0.3, "crop": [40, 48]}
        values["training"]["workers"] = workers
        values["training"]["steps"] = 4
        students[name] = train(values, tmp_path / name)
    assert same(students["none"], students["one"])
    assert not same(students["none"], students["other seed"])


def test_accumulating_equals_a_larger_batch(tmp_path: Path) -> None:
    students = {}
    for name, batch, accumulate in (("batch", 2, 1), ("accumulated", 1, 2), ("half", 1, 1)):
        values = tiny.config(tmp_path, "etc")
        # Motion counts the visible pixels of the batch, so that it is no mean of the clips' own means; and the memory
        # is fitted on other batches.
        values["method"] |= {"motion": 0, "recurrent": 0}
        values["training"] |= {"batch": batch, "accumulate": accumulate, "optimiser": "sgd", "gradient_norms_every": 0}
        students[name] = train(values, tmp_path / name)
    for key, tensor in students["batch"].items():
        torch.testing.assert_close(students["accumulated"][key], tensor, rtol=1e-4, atol=1e-6)
    assert any((students["half"][k] - v).abs().max() > 1e-3 for k, v in students["batch"].items())
    logs = [[row["loss"] for row in rows(tmp_path / name)] for name in ("batch", "accumulated")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)


def test_the_moving_average_is_evaluated_and_saved(tmp_path: Path) -> None:
    students, seen = {}, []
    for name, ema in (("plain", 0.0), ("averaged", 0.8)):
        method = Method(tiny.segmenter(), Baseline().losses())

        def evaluate(student: Segmenter, last: bool) -> dict[str, float | None]:
            seen.append(student)
            return {"miou": None}

        trainer(tmp_path / name, method, evaluate=evaluate, ema=ema, gradient_norms_every=0).fit()
        assert seen[-1] is method.best_student()
        students[name] = dict(method.best_student().state_dict())
        trained = dict(method.student.state_dict())
        assert same(students[name], trained) == (name == "plain")
        if name == "plain":
            plain = trained
    assert same(plain, trained), "the average changes nothing of what is trained"


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_trains_and_is_doubted_where_the_device_has_none(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "has_bf16", lambda device: there)
    values = tiny.config(tmp_path, training={"steps": 2, "precision": "bf16-mixed"})
    told: list[str] = []
    run.train(parse(values, "test"), tmp_path / "run", say=told.append, score=False)
    assert any("this cpu has no bfloat16" in line for line in told) != there
    assert all(math.isfinite(row["loss"]) for row in rows(tmp_path / "run"))
    student = load_file(tmp_path / "run" / "student.safetensors")
    assert {tensor.dtype for tensor in student.values()} == {torch.float32}


def test_a_teacher_of_footage_is_not_asked_about_stills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))
    street = {"dataset": "street", "count": 1, "size": list(tiny.SIZE)}
    unlabelled = {**street, "length": 4, "seed": 7}
    values = tiny.config(tmp_path, "footage", data={"unlabelled": unlabelled})
    values["method"]["labelled"] = 0
    values["teacher"]["store"] = True
    train(values, tmp_path / "run")
    assert len(list((tmp_path / "cache" / "teacher").glob(PATTERN))) == 4
    del values["data"]["unlabelled"]
    with pytest.raises(ValueError, match=r"the data has none: set data\.unlabelled, or method\.labelled to 1"):
        train(values, tmp_path / "other")


def test_teacher_and_flow_are_neither_trained_nor_saved(tmp_path: Path) -> None:
    teacher, flow = tiny.segmenter(seed=9, width=12), tiny.Played([torch.zeros(2, 2, *tiny.SIZE)] * 100)
    frozen = [teacher.network, flow]
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in frozen]
    method = Method(tiny.segmenter(seed=1), ETC().losses(), teacher, flow, frames=3)
    start = {k: v.clone() for k, v in method.student.state_dict().items()}
    made = trainer(
        tmp_path, method, frames=3, checkpoint_every=2, evaluate_every=2, evaluate=lambda s, end: {"miou": 1}
    )
    made.batches.clips.motion = False  # so that the flow network is asked
    made.fit()
    assert flow.asked > 0
    for module, old in zip(frozen, before):
        assert same(dict(module.state_dict()), old)
        assert not module.training and all(p.grad is None for p in module.parameters())
    assert not same(dict(method.student.state_dict()), start)
    secret = [t for m in frozen for t in m.state_dict().values() if t.ndim > 1]
    for name in ("last", "best"):
        state = checkpoint.load(tmp_path / "checkpoints" / f"{name}.pt")
        trained, moments = state["trainables"]["students"], state["optimisers"]["students"]["state"]
        assert {k.split(".")[0] for k in trained} == {"student", "terms"}
        assert {k.split(".")[1] for k in trained if k.startswith("terms")} == {"recurrent_dependency"}
        held = [*trained.values(), *(v for s in moments.values() for v in s.values() if isinstance(v, Tensor))]
        assert len(moments) == len(list(method.student.parameters()))
        assert not any(a.shape == b.shape and torch.equal(a, b) for a in held for b in secret)


class Explodes(LossTerm):
    """NaN from a given call on."""

    def __init__(self, at: int):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, context: DistillationContext) -> Tensor:
        self.calls += 1
        return context.student.native(0).mean() * (math.nan if self.calls >= self.at else 1.0)


def test_a_nan_stops_the_training_and_spares_the_checkpoint(tmp_path: Path) -> None:
    method = Method(tiny.segmenter(), [*Baseline().losses(), WeightedLoss("doubtful", Explodes(4))])
    with pytest.raises(FloatingPointError, match=r"term 'doubtful' is nan at step 4"):
        trainer(tmp_path, method, checkpoint_every=2).fit()
    state = checkpoint.load(tmp_path / "checkpoints" / "last.pt")
    assert state["step"] == 2
    assert all(torch.isfinite(t).all() for t in state["trainables"]["students"].values())
    assert all(torch.isfinite(p).all() for p in method.trainable_modules.parameters())
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3]


class InfiniteGradient(LossTerm):
    """A finite value whose gradient is not: the square root at zero."""

    def forward(self, context: DistillationContext) -> Tensor:
        return (context.student.native(0) * 0).pow(2).sum().sqrt()


def test_a_gradient_that_is_not_finite_does_not_reach_the_weights(tmp_path: Path) -> None:
    method = Method(tiny.segmenter(), [*Baseline().losses(), WeightedLoss("edge", InfiniteGradient())])
    with pytest.raises(FloatingPointError, match=r"the norm of the gradient is (nan|inf) at step 1"):
        trainer(tmp_path, method, checkpoint_every=1).fit()
    assert all(torch.isfinite(p).all() for p in method.trainable_modules.parameters())
    assert not (tmp_path / "checkpoints" / "last.pt").exists()


def test_gradient_norms_say_which_term_pulls_how_hard(tmp_path: Path) -> None:
    class Sum(LossTerm):
        def forward(self, context: DistillationContext) -> Tensor:
            return context.student.prediction.uncropped.sum()

    class OfFeature(LossTerm):
        """Reaches the encoder past the logits."""

        def forward(self, context: DistillationContext) -> Tensor:
            return context.student.feature("head", 0).square().mean()

    terms = [
        WeightedLoss("sum", Sum(), 0.5),
        WeightedLoss("late", Sum(), 4.0, RAMP),
        WeightedLoss("feature", OfFeature(), 3.0),
    ]
    method = Method(tiny.segmenter(), [*Baseline().losses(), *terms])
    places = ("encoder", "logits")
    trainer(tmp_path, method, steps=5, gradient_norms_every=2, gradient_norms_at=places, log_every=3).fit()
    logged = {row["step"]: row for row in rows(tmp_path)}
    assert set(logged) == {1, 2, 3, 4, 5}
    assert {s for s, row in logged.items() if "gradient/sum" in row} == {1, 2, 4}
    entries = 2 * 9 * 12 * 16
    for step in (1, 2, 4):
        at_logits = {
            key.partition("/")[2]: v for key, v in logged[step].items() if key.startswith("gradient_at_logits/")
        }
        assert at_logits["sum"] == pytest.approx(0.5 * math.sqrt(entries))
        assert at_logits["late"] == pytest.approx(0 if step == 1 else 4 * math.sqrt(entries))
        assert at_logits["feature"] == 0 < logged[step]["gradient/feature"]
        assert 0 < at_logits["cross_entropy"] < 10 and logged[step]["gradient/cross_entropy"] > 0
    assert all(row["gradient"] > 1 for row in logged.values()), "the norm before it is clipped"


def test_a_gradient_norm_is_that_of_the_encoders_parameters(tmp_path: Path) -> None:
    class WithEncoder(tiny.Tiny):
        """The tiny network, its body under the name that libraries use."""

        def __init__(self) -> None:
            super().__init__(9)
            self.encoder = self.body

    torch.manual_seed(0)
    student = Segmenter(WithEncoder(), 9, tiny.ROLES, "imagenet")
    assert student.encoder is student.network.encoder and tiny.segmenter().encoder.body is not None
    method = Method(student, Baseline().losses())
    context = method.context(tiny.clip(1, 2))
    value = method.losses(context)["cross_entropy"]
    parameters = list(student.encoder.parameters())
    measured = Runtime(CPU).gradient_norm(value, parameters)
    assert all(p.grad is None for p in parameters), "measuring gathers nothing"
    value.backward()
    expected = math.sqrt(sum(float(p.grad.square().sum()) for p in parameters))  # type: ignore[union-attr]
    assert measured == pytest.approx(expected, rel=1e-5)


def test_eval_mode_keeps_statistics_and_drops_nothing(tmp_path: Path) -> None:
    class Normalised(tiny.Tiny):
        """With BatchNorm and dropout."""

        def __init__(self) -> None:
            super().__init__(9, dropout=0.5)
            self.body[1] = torch.nn.BatchNorm2d(8)

    for wanted in (True, False):
        torch.manual_seed(0)
        method = Method(Segmenter(Normalised(), 9, tiny.ROLES, "imagenet"), Baseline().losses())
        before = {key: value.clone() for key, value in method.student.state_dict().items()}
        trainer(tmp_path / str(wanted), method, steps=3, eval_mode=wanted).fit()
        changed = {key for key, value in method.student.state_dict().items() if not torch.equal(value, before[key])}
        assert ("network.body.1.running_mean" in changed) is not wanted
        assert "network.classifier.weight" in changed
        assert method.student.network.body[6].training is not wanted  # type: ignore[index]


def test_the_gradient_is_clipped(tmp_path: Path) -> None:
    start = tiny.segmenter().state_dict()
    moved = {}
    for name, limit in (("clipped", 1e-3), ("free", None)):
        method = Method(tiny.segmenter(), Baseline().losses())
        settings = {"optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0, "steps": 1, "lr": 1.0}
        trainer(tmp_path / name, method, clip_grad=limit, **settings).fit()
        difference = [(v - start[k]).flatten() for k, v in method.student.state_dict().items()]
        moved[name] = float(torch.cat(difference).norm())
        assert rows(tmp_path / name)[0]["gradient"] > 0.1
    assert moved["clipped"] == pytest.approx(1e-3, rel=1e-2)
    assert moved["free"] == pytest.approx(rows(tmp_path / "free")[0]["gradient"], rel=1e-3)


def test_what_a_run_writes_about_itself(tmp_path: Path) -> None:
    values = tiny.config(tmp_path, "kd")
    values["data"]["val"] = {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8}
    values["training"] |= {"evaluate_every": 2, "log_every": 4, "gradient_norms_every": 0, "steps": 5}
    folder = tmp_path / "run"
    said: list[str] = []
    table = run.train(parse(values, "test"), folder, False, said.append)
    assert said[0].startswith("tiny: 0.00 M parameters, 5 steps x about")

    loaded = load(folder / "config.yaml")
    assert isinstance(loaded, Config) and loaded == parse(values, "test")
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["torch"] == torch.__version__ and environment["temporalkd"] == __version__
    assert environment["seed"] == 3 and environment["threads"] == torch.get_num_threads()

    logged = rows(folder)
    assert [row["step"] for row in logged] == [1, 4, 5]
    for row in logged:
        assert set(row) == {"step", "loss", "cross_entropy", "pixel_kl", "gradient", "lr", "seconds", "waited"}
        assert row["loss"] == pytest.approx(row["cross_entropy"] + row["pixel_kl"], rel=1e-5)
        assert row["lr"] == pytest.approx(0.01 * (1 - (row["step"] - 1) / 5) ** 0.9)
        assert 0 <= row["waited"] < row["seconds"]

    header, *lines = (folder / "metrics.csv").read_text().splitlines()
    assert header == "step,miou,consistency,flip_rate" and [line.split(",")[0] for line in lines] == ["2", "4", "5"]
    results = json.loads((folder / "evaluation.json").read_text())["results"]
    assert (
        [r["system"] for r in results]
        == ["student", "teacher", "ceiling", "floor", "constant"]
        == [r.system for r in table]
    )
    assert results[0]["miou"] == float(lines[-1].split(",")[1]) and results[2]["miou"] == 100
    card = json.loads((folder / "student.json").read_text())
    assert card["metrics"] == [results[0]] and len(card["class_names"]) == len(card["palette"]) == card["classes"] == 9

    state = checkpoint.load(folder / "checkpoints" / "last.pt")
    saved = load_file(folder / "student.safetensors")
    assert state["step"] == 5
    assert all(torch.equal(state["trainables"]["students"][f"student.network.{k}"], v) for k, v in saved.items())
    best = checkpoint.load(folder / "checkpoints" / "best.pt")
    mious = {int(line.split(",")[0]): float(line.split(",")[1]) for line in lines}
    assert best["best"] == mious[best["step"]] == max(mious.values())


def test_tensorboard_events(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    values = tiny.config(tmp_path)
    values["data"]["val"] = {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8}
    train(values, tmp_path / "run")
    board = events.EventAccumulator(str(tmp_path / "run"))
    board.Reload()
    losses = {e.step: e.value for e in board.Scalars("train/loss")}
    assert losses == pytest.approx({row["step"]: row["loss"] for row in rows(tmp_path / "run")}, rel=1e-5)
    (miou,) = board.Scalars("val/miou")
    last = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert (miou.step, miou.value) == (6, pytest.approx(float(last[1]), rel=1e-5))


def finished(folder: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]], bytes]:
    clock = ("seconds", "waited")
    return load_file(folder / "student.safetensors"), rows(folder, *clock), (folder / "metrics.csv").read_bytes()


def scored(folder: Path) -> dict[str, Any]:
    values = tiny.config(folder)
    val = {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8}
    values["data"]["val"] = val
    values["student"]["arguments"] = {"dropout": 0.3}
    values["training"] |= {"checkpoint_every": 2, "evaluate_every": 2}
    return values


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    values, said, cut = scored(tmp_path), list[str](), tmp_path / "cut"
    train(values, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", cut)
    shutil.rmtree(cut / "checkpoints")
    (cut / "student.safetensors").unlink()
    (cut / ".config.yaml.0.part").touch()
    run.train(parse(values, "test"), cut, True, said.append)
    assert said[0].startswith(f"{cut} holds no checkpoint")
    one, other = finished(tmp_path / "whole"), finished(cut)
    assert same(one[0], other[0]) and one[1:] == other[1:]
    assert not list(cut.glob(".*"))


def test_a_run_that_has_ended_is_left_alone(tmp_path: Path) -> None:
    values, said, folder = scored(tmp_path), list[str](), tmp_path / "run"
    train(values, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run.train(parse(values, "test"), folder, True, said.append) == []
    assert said == [f"{folder} has finished: nothing to resume"]
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "evaluation.json").unlink()
    train(values, folder, resume=True)
    assert (folder / "evaluation.json").read_bytes() == before[folder / "evaluation.json"]


def test_a_run_goes_on_with_other_workers_and_tells_of_other_data(tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "own", tiny.SIZE)
    values = scored(tmp_path)
    folder = {"dataset": "folder", "images": str(frames / "frames"), "labels": str(frames / "labels")}
    values["data"]["train"] = folder | {"class_names": list(CLASSES)}
    train(values, tmp_path / "whole")
    train(values, tmp_path / "cut")
    for name in ("student.safetensors", "evaluation.json", "checkpoints/last.pt"):
        (tmp_path / "cut" / name).unlink()
    shutil.copytree(tmp_path / "cut", tmp_path / "other")
    values["training"]["workers"] = 2
    train(values, tmp_path / "cut", resume=True)
    assert same(finished(tmp_path / "whole")[0], finished(tmp_path / "cut")[0])
    before = json.loads((tmp_path / "other" / "environment.json").read_text())
    shutil.copy(frames / "frames" / "002.png", frames / "frames" / "001.png")
    said = list[str]()
    run.train(parse(values, "test"), tmp_path / "other", True, said.append)
    after = json.loads((tmp_path / "other" / "environment.json").read_text())
    assert (
        f"data.train has changed since the run began (fingerprint now {after['data_train']}): going on with it" in said
    )
    assert after["data_train_before"] == [before["data_train"]] != [after["data_train"]]
    assert after["data_val"] == before["data_val"] and "data_val_before" not in after


def test_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    values = scored(tmp_path)
    train(values, tmp_path / "run")
    (tmp_path / "run" / "student.safetensors").unlink()
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    state = checkpoint.load(path)
    checkpoint.save(state | {"rng": state["rng"] * 2}, path)
    with pytest.raises(ValueError, match=r"last\.pt is of 2 processes, now there are 1: resume with as many"):
        train(values, tmp_path / "run", resume=True)
