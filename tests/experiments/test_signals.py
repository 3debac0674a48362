"""Commands that are told to end: a line, exit code 1, and nothing is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from temporalkd.experiments.signals import REQUESTS, as_interrupts
from tests.cli_support import World, isolated, listing, run_main

COMMANDS: dict[str, Callable[[World, Path], list[Any]]] = {
    "predict": lambda world, tmp: ["predict", world.run, world.frames, "-o", tmp / "out"],
    "render": lambda world, tmp: [
        *("render", world.run, "--frames", world.frames, "--flow", "dis"),
        *("-o", tmp / "out.mp4"),
    ],
    "report": lambda world, tmp: ["report", world.run, "-o", tmp / "out.html"],
    "export": lambda world, tmp: ["export", world.run, "-o", tmp / "out.onnx"],
    "evaluate": lambda world, tmp: ["evaluate", world.run, "--json"],
    "train": lambda world, tmp: ["train", world.folder / "config.yaml", "-o", tmp / "out"],
}


@pytest.mark.parametrize(("command", "number"), zip(COMMANDS, [signal.SIGINT, *REQUESTS] * len(COMMANDS)))
def test_a_command_takes_back_what_it_began(
    command: str,
    number: signal.Signals,
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The signal comes while the network computes a frame."""
    if command == "report":
        pytest.importorskip("jinja2", reason="needs temporalkd[report]")
    if command == "export":
        pytest.importorskip("onnx", reason="needs temporalkd[export]")
    sent: list[int] = []
    forward = nn.Conv2d.forward

    def told(self: nn.Conv2d, frames: Tensor) -> Tensor:
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)
        return forward(self, frames)

    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(nn.Conv2d, "forward", told)
    before = listing(tmp_path)
    with isolated(tmp_path / "cache", tmp_path):
        code = run_main([str(word) for word in COMMANDS[command](world, tmp_path)])
    assert sent
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "error: interrupted"
    assert listing(tmp_path) == before


@pytest.mark.parametrize("number", REQUESTS)
def test_who_ignores_it_goes_on_ignoring_it(number: signal.Signals) -> None:
    """As under nohup."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with as_interrupts():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)
