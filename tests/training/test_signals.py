"""SIGINT and SIGTERM: the step is ended and saved first, a second SIGINT leaves at once."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from temporalkd.config import parse
from temporalkd.experiments import run
from temporalkd.training import PseudoLabels, checkpoint
from temporalkd.training.signals import Interrupts, leave_to_parent
from temporalkd.training.step import Stepper
from tests import tiny


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held_it_waits_and_says_so(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        with interrupts.held():
            assert not interrupts.asked
            send(number)
            assert interrupts.asked
        with pytest.raises(KeyboardInterrupt), interrupts.at_once():
            pytest.fail("one that has waited is heard here")
    assert f"{signal.Signals(number).name}: the step is ended and saved first" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_not_held_it_acts_at_once(number: int) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            send(number)
        with interrupts.held(), pytest.raises(KeyboardInterrupt), interrupts.at_once():
            send(number)


def test_what_was_there_before_is_there_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a job in the background of a shell
    try:
        with Interrupts():
            send(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, ignored)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="who sent a signal is not told here")
def test_forked_workers_are_ended_by_their_parent_alone() -> None:
    """`timeout` and service managers tell all processes at once, and the last batch is still wanted."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        leave_to_parent(0)
        send(signal.SIGTERM)
        while signal.sigpending():  # signals are not counted: a second one would be taken for the first
            time.sleep(0.001)
        os.write(writer, b"still here")
        while True:
            signal.pause()
    assert os.read(reader, 100) == b"still here"
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(reader)
    os.close(writer)


def values_of(folder: Path, method: str = "baseline", **training: Any) -> dict[str, Any]:
    values = tiny.config(folder, method)
    values["student"]["arguments"] = {"dropout": 0.3}
    values["data"]["val"] = {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8}
    values["training"] |= {"evaluate_every": 2, **training}
    return values


def train(values: dict[str, Any], folder: Path, resume: bool = False) -> None:
    run.train(parse(values, "test"), folder, resume, lambda line: None)


def alike(one: Path, other: Path) -> bool:
    students = [load_file(folder / "student.safetensors") for folder in (one, other)]
    logs = [
        [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "waited")} for line in text.splitlines()]
        for text in ((folder / "log.jsonl").read_text() for folder in (one, other))
    ]
    metrics = [(folder / "metrics.csv").read_bytes() for folder in (one, other)]
    same = all((students[0][k] == v).all() for k, v in students[1].items())
    return same and logs[0] == logs[1] and metrics[0] == metrics[1]


@pytest.mark.parametrize(("step", "workers", "number"), [(0, 0, signal.SIGTERM), (3, 1, signal.SIGINT)])
def test_a_training_ends_its_step_saves_and_leaves(
    step: int, workers: int, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of(tmp_path, workers=workers)
    original = Stepper._accumulate

    def interrupted(self: Stepper, done: int, clips: Any) -> Any:
        if done == step:
            send(number)
        return original(self, done, clips)

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "_accumulate", interrupted)
        with pytest.raises(KeyboardInterrupt, match=f"interrupted at step {step + 1}; --resume goes on .* {step + 1}$"):
            train(values, tmp_path / "cut")
    assert checkpoint.load(tmp_path / "cut" / "checkpoints" / "last.pt")["step"] == step + 1
    train(values, tmp_path / "cut", resume=True)
    train(values, tmp_path / "whole")
    assert alike(tmp_path / "cut", tmp_path / "whole")


def test_before_an_evaluation_all_is_saved_so_that_it_can_be_left_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = values_of(tmp_path, checkpoint_every=100)
    with monkeypatch.context() as patched:
        patched.setattr("temporalkd.experiments.scoring.Scorer.rows", lambda *_, **__: send(signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt, match="interrupted at step 2; --resume goes on from step 2"):
            train(values, tmp_path / "cut")
    assert not (tmp_path / "cut" / "metrics.csv").exists()
    train(values, tmp_path / "cut", resume=True)
    train(values, tmp_path / "whole")
    assert alike(tmp_path / "cut", tmp_path / "whole")
    assert (tmp_path / "cut" / "metrics.csv").read_text().count("\n") == 4


def test_labels_that_are_being_made_can_be_left_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of(tmp_path, "selfcorrecting")
    values["method"] |= {"rounds": 2, "corrector": "conv"}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt, match="interrupted at step 3"):
        patched.setattr(PseudoLabels, "_label", lambda *_: send(signal.SIGINT))
        train(values, tmp_path / "cut")
    train(values, tmp_path / "cut", resume=True)
    train(values, tmp_path / "whole")
    assert alike(tmp_path / "cut", tmp_path / "whole")
