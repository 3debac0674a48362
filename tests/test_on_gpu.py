"""Commands on a GPU that is pretended: what is on it and what is in main memory never meet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.optical_flow import raft_small

from tests import tiny
from tests.cli_support import World, write_config
from tests.pretended import is_there, pretended_gpu

METHODS = ["baseline", "kd", "etc", "fckd", "multilevel", "stckd", "i2ckd", "selfcorrecting"]


@pytest.fixture
def raft(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of RAFT that know nothing, where they are looked for."""
    path = tmp_path / "root" / "weights" / "raft_small_things.safetensors"
    path.parent.mkdir(parents=True)
    save_file(raft_small(weights=None).state_dict(), path)
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path / "root"))
    return path


def config_of(method: str, folder: Path, **sections: dict[str, Any]) -> Path:
    """Three steps on a street, scored on another."""
    val = {"dataset": "street", "count": 1, "length": 4, "size": list(tiny.SIZE), "seed": 9}
    values = tiny.config(folder, method, **sections)
    values["training"] |= {"steps": 3}
    values["data"] |= {"val": val}
    return write_config(Path("a.yaml"), values)


def test_it_refuses_what_a_gpu_refuses() -> None:
    with pretended_gpu():
        layer, here = nn.Conv2d(3, 4, 1).to("cuda"), torch.rand(1, 3, 2, 2)
        there = here.to("cuda")
        assert is_there(layer(there)) and layer.weight.device.type == "cuda" and there.is_cuda
        for wrong in (lambda: layer(here), lambda: there + here, lambda: there.numpy(), lambda: np.asarray(there)):
            with pytest.raises((RuntimeError, TypeError), match="cuda"):
                wrong()
        layer(there).sum().backward()
        assert layer.weight.grad is not None and layer.weight.grad.is_cuda
        assert not is_there(there.cpu()) and not is_there(layer.to("cpu").weight)


@pytest.mark.parametrize("method", METHODS)
def test_methods_train(method: str, call: Any, tmp_path: Path) -> None:
    config = config_of(method, tmp_path, data={"jitter": 0.2}, training={"gradient_norms_every": 1})
    with pretended_gpu():
        err = call("train", config, "-o", "run")[1]
    assert "1 x cuda" in err and json.loads(Path("run/resources.json").read_text())["attempts"][0]["device"] == "cuda"


@pytest.mark.parametrize("cached", [False, True])
def test_flow_is_estimated_there(cached: bool, raft: Path, call: Any, tmp_path: Path) -> None:
    config = config_of(
        "etc", tmp_path, flow={"kind": "raft_small", "cached": cached}, evaluation={"flow": "raft_small"}
    )
    with pretended_gpu():
        call("train", config, "-o", "run")


def test_the_teachers_answers_are_cached(call: Any, tmp_path: Path) -> None:
    config = config_of("kd", tmp_path, teacher={"cached": True})
    with pretended_gpu():
        call("train", config, "-o", "first")
        call("train", config, "-o", "again")


def test_a_training_goes_on(call: Any, tmp_path: Path) -> None:
    config = config_of("stckd", tmp_path, training={"checkpoint_every": 1})
    with pretended_gpu():
        call("train", config, "-o", "run")
        shutil.copy("run/checkpoints/previous.pt", "run/checkpoints/last.pt")
        call("train", config, "-o", "run", "--resume")


def test_students_are_used(raft: Path, world: World, call: Any) -> None:
    flows = ("--flow", "raft_small", "--flow", "dis")
    with pretended_gpu():
        call("evaluate", world.run, *flows, "--protocol", "all", "--ema", "0.8")
        call("verify", world.run)
        call("predict", world.run, world.frames, "-o", "maps")
        maps = ("--frames", world.frames, "--predictions", "maps", "--labels", world.labels, "--classes", "9")
        call("consistency", *maps, *flows, "--protocol", "all")
        sides = ("--left", world.run, "--right", "maps", "--panel", world.run)
        call("render", "--frames", world.frames, *sides, "--flow", "raft_small", "-o", "a.mp4")
        call("report", world.run, "-o", "report.html")
        call("export", world.run, "-o", "student.onnx")
        assert "pretended" in call("doctor")[0]
