"""`temporalkd stabilize`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.cli_support import World

Call = Callable[..., tuple[str, str]]
QUICK = ("--steps", 2, "--flow", "dis", "--accelerator", "cpu")


def test_from_a_run_to_steady_weights(world: World, call: Call, tmp_path: Path) -> None:
    steady = tmp_path / "steady.safetensors"
    out, err = call("stabilize", world.run, world.video, "-o", steady, *QUICK, "--labels", world.labels, code=1)
    assert "they are matched by name with a folder" in err
    out, err = call("stabilize", world.run, world.frames, "-o", steady, *QUICK, "--labels", world.labels, "--json")
    results = json.loads(out)["results"]
    assert results["after"]["miou"] is not None and results["before"]["agreement"] == 100
    assert steady.with_suffix(".json").is_file() and (tmp_path / "steady.run" / "flicker.mp4").is_file()
    assert "held-out" in err and "about" in err
    call("predict", steady, world.frames, "-o", tmp_path / "maps")
    _, err = call("stabilize", world.run, world.frames, "-o", steady, *QUICK, code=1)
    assert "resume it" in err
    out, _ = call("stabilize", world.run, world.frames, "-o", steady, *QUICK, "--resume", "--no-video")
    assert "agreement with the original" in out


def test_weights_keep_the_form_that_they_came_in(world: World, call: Call, tmp_path: Path) -> None:
    card = json.loads((world.run / "student.json").read_text())
    torch.save({"state_dict": load_file(world.run / "student.safetensors")}, tmp_path / "mine.pth")
    (tmp_path / "mine.json").write_text(json.dumps({key: value for key, value in card.items() if key != "sha256"}))
    steady = tmp_path / "steady.pth"
    call("stabilize", tmp_path / "mine.pth", world.frames, "-o", steady, *QUICK, "--no-video")
    assert torch.load(steady, weights_only=True).keys() == load_file(world.run / "student.safetensors").keys()
    assert (tmp_path / "steady.run" / "report.html").is_file()
    call("predict", steady, world.frames, "-o", tmp_path / "maps")
    assert card["trained_size"] == [64, 80] == json.loads(steady.with_suffix(".json").read_text())["trained_size"]


def test_mistakes_are_one_line(world: World, call: Call, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    _, err = call("stabilize", tmp_path / "net.onnx", world.frames, "-o", tmp_path / "s.safetensors", code=1)
    assert "ONNX file cannot be trained" in err and "Traceback" not in err
    call("stabilize", world.run, world.frames, "-o", tmp_path / "steady.onnx", code=2)
    _, err = call("stabilize", world.run, tmp_path / "nothing.mp4", "-o", tmp_path / "s.safetensors", code=1)
    assert "nothing.mp4" in err and not (tmp_path / "s.run").exists()
