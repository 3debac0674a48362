"""Losses and gradients that are not finite: the training stops, or the step is as if it had not been."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.data.sampler import ClipSampler
from temporalkd.data.street import Street
from temporalkd.methods import Baseline, DistillationContext, LossTerm, Method, WeightedLoss
from temporalkd.models import Segmenter, build
from temporalkd.training import Plan, Runtime, Trainer, checkpoint
from temporalkd.training.step import Seen, Stepper
from tests import tiny


class Doubtful(LossTerm):
    """Not finite in the steps given; `kind`: its value, or its gradient alone."""

    def __init__(self, steps: set[int], kind: str = "value"):
        super().__init__()
        self.steps, self.kind, self.calls = steps, kind, 0

    def forward(self, context: DistillationContext) -> Tensor:
        self.calls += 1
        native = context.student.native(0)
        if self.calls not in self.steps:
            return native.mean() * 0
        return native.mean() * math.nan if self.kind == "value" else (native * 0).pow(2).sum().sqrt()


def student() -> Segmenter:
    """With BatchNorm."""
    torch.manual_seed(0)
    return build(replace(tiny.spec(frozen=False), architecture="tests.training.fifty_steps:Normalised"))


def trainer(folder: Path, method: Method, **plan: Any) -> Trainer:
    clips = ClipSampler([Street(s, 6, tiny.SIZE, light=0, grain=0) for s in range(2)], 1, seed=1)
    settings = {"steps": 6, "batch": 2, "lr": 0.01, "log_every": 1, "gradient_norms_every": 0} | plan
    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(method, clips, Plan(**settings), Runtime("cpu"), folder)


def rows(folder: Path) -> dict[int, dict[str, float]]:
    return {row["step"]: row for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines())}


@pytest.mark.parametrize("kind", ["value", "gradient"])
def test_a_skipped_step_is_as_if_it_had_not_been(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    method = Method(tiny.segmenter(), [*Baseline().losses(), WeightedLoss("doubtful", Doubtful({3, 4}, kind))])
    states: list[dict[str, Tensor]] = []
    made = trainer(tmp_path, method, on_nonfinite="skip", checkpoint_every=1)
    original = made._keep

    def watch(*arguments: Any) -> None:
        original(*arguments)
        states.append(checkpoint.load(tmp_path / "checkpoints" / "last.pt")["trainables"]["students"])

    made._keep = watch  # type: ignore[method-assign]
    made.fit()
    same = [all(torch.equal(a[k], b[k]) for k in a) for a, b in pairwise(states)]
    assert same == [False, True, True, False, False]
    assert {step for step, row in rows(tmp_path).items() if "loss" in row} == {1, 2, 5, 6}
    assert [rows(tmp_path)[step]["skipped"] for step in (3, 4)] == [1, 2]
    err = capfd.readouterr().err
    what = "term 'doubtful' is nan" if kind == "value" else "the norm of the gradient is (nan|inf)"
    assert re.search(f"{what} at step 4: skipped, 2 in a row, 2 in all", err), err


def test_what_batch_norm_gathered_in_a_skipped_step_is_put_back(tmp_path: Path) -> None:
    method = Method(student(), Baseline().losses())
    made = trainer(tmp_path, method, on_nonfinite="skip")
    original = made.batches.coloured
    made.batches.coloured = lambda clip, number: (  # type: ignore[method-assign]
        Seen(clip.frames * math.nan, clip.frames) if made.done == 2 else original(clip, number)
    )
    made.fit()
    assert "skipped" in rows(tmp_path)[3] and "loss" in rows(tmp_path)[4]
    buffers = list(method.trainable_modules.buffers())
    assert buffers and all(torch.isfinite(b).all() for b in buffers)


def test_it_gives_up_after_a_limit_of_consecutive_ones(tmp_path: Path) -> None:
    method = Method(tiny.segmenter(), [*Baseline().losses(), WeightedLoss("doubtful", Doubtful({1, 2, 4, 5, 6}))])
    made = trainer(tmp_path, method, on_nonfinite="skip", nonfinite_limit=2, checkpoint_every=3)
    with pytest.raises(
        FloatingPointError, match=r"'doubtful' is nan at step 6, after 2 skipped steps in a row: stopped"
    ):
        made.fit()
    state = checkpoint.load(tmp_path / "checkpoints" / "last.pt")
    assert state["step"] == 3 and state["guard"] == {"in_a_row": 0, "skipped": 2}


def test_the_count_goes_on_with_a_resumed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def method(*steps: int) -> Method:
        return Method(tiny.segmenter(), [*Baseline().losses(), WeightedLoss("doubtful", Doubtful(set(steps)))])

    settings = {"on_nonfinite": "skip", "nonfinite_limit": 2, "checkpoint_every": 1}
    made = trainer(tmp_path, method(2, 3), **settings)
    original = Stepper.__call__

    def stop(self: Stepper, done: int, saved: int, clips: Any) -> Any:
        found = original(self, done, saved, clips)
        made.interrupts.asked = done == 2
        return found

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Stepper, "__call__", stop)
        made.fit()
    with pytest.raises(FloatingPointError, match="at step 4, after 2 skipped steps in a row"):
        trainer(tmp_path, method(1), **settings).fit(resume=True)


def test_weights_that_are_not_finite_do_not_replace_a_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Method(tiny.segmenter(), Baseline().losses())
    made = trainer(tmp_path, method, checkpoint_every=1)
    original = Stepper.__call__

    def spoil(self: Stepper, done: int, saved: int, clips: Any) -> Any:
        found = original(self, done, saved, clips)
        if done == 2:
            next(iter(method.student.parameters())).data.fill_(math.inf)
        return found

    monkeypatch.setattr(Stepper, "__call__", spoil)
    with pytest.raises(FloatingPointError, match=r"weight is not finite after step 3: .*last\.pt stays that of step 2"):
        made.fit()
    state = checkpoint.load(tmp_path / "checkpoints" / "last.pt")
    assert state["step"] == 2 and all(torch.isfinite(t).all() for t in state["trainables"]["students"].values())
