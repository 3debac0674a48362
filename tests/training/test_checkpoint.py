"""Checkpoints: whole or not at all, and read without running anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from temporalkd.methods import TrainableModules
from temporalkd.methods.spatial_terms import CrossEntropy
from temporalkd.methods.temporal_terms import RecurrentDependency
from temporalkd.training import checkpoint
from tests.tiny import segmenter


def modules(seed: int = 0, **arguments: Any) -> TrainableModules:
    return TrainableModules(segmenter(seed=seed, **arguments), {"ce": CrossEntropy()})


def state_of(module: nn.Module) -> checkpoint.State:
    return {
        "step": 7,
        "evaluated": 0,
        "best": float("-inf"),
        "guard": {"in_a_row": 0, "skipped": 0},
        "trainables": {"students": module.state_dict()},
        "optimisers": [torch.optim.AdamW(module.parameters()).state_dict()],
        "rng": checkpoint.rng_state(),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.pt"
    checkpoint.save(state_of(modules(1)), path)
    return path


def test_round_trip(path: Path) -> None:
    source, target = modules(1), modules(2)
    loaded = checkpoint.load(path)
    assert (loaded["step"], loaded["best"]) == (7, float("-inf"))
    checkpoint.restore(target, loaded["trainables"]["students"], path)
    assert all(torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values()))
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_random_numbers_go_on_where_they_were(path: Path) -> None:
    torch.manual_seed(5)
    torch.rand(3)
    checkpoint.save(state_of(modules()), path)
    torch.manual_seed(6)
    checkpoint.set_rng_state(checkpoint.load(path)["rng"])
    got = torch.rand(4)
    torch.manual_seed(0)
    modules()
    checkpoint.set_rng_state(checkpoint.load(path)["rng"])
    assert torch.equal(torch.rand(4), got)
    torch.manual_seed(6)
    assert not torch.equal(torch.rand(4), got)


def test_a_failed_write_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(state_of(modules(2)), path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_was_cut_off(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"last\.pt is damaged or not a checkpoint"):
        checkpoint.load(path)


def test_another_student_or_method_names_the_tensor(path: Path) -> None:
    tensors = checkpoint.load(path)["trainables"]["students"]
    wide = modules(width=12)
    before = {k: v.clone() for k, v in wide.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"last\.pt is of another student or method: 'student\.network\.body\.0\.bias'"
    ):
        checkpoint.restore(wide, tensors, path)
    assert all(torch.equal(before[k], v) for k, v in wide.state_dict().items())
    more = TrainableModules(segmenter(), {"mf": RecurrentDependency()})
    with pytest.raises(ValueError, match=r"'terms\.mf\.memory\.cell\.gates\.bias' differs"):
        checkpoint.restore(more, tensors, path)
    with pytest.raises(ValueError, match=r"'extra' differs"):
        checkpoint.restore(modules(), tensors | {"extra": torch.zeros(1)}, path)


def steps(folder: Path) -> dict[str, int]:
    return {p.name: checkpoint.load(p)["step"] for p in sorted(folder.glob("*.pt"))}


def save_steps(folder: Path, *numbers: int) -> None:
    for number in numbers:
        checkpoint.save(state_of(modules()) | {"step": number}, folder / "last.pt", folder / "previous.pt")


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_is_kept(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any) -> None:
        raise OSError("not supported")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    save_steps(tmp_path, 1)
    assert steps(tmp_path) == {"last.pt": 1}
    save_steps(tmp_path, 2, 3)
    assert steps(tmp_path) == {"last.pt": 3, "previous.pt": 2}
    found = checkpoint.latest(tmp_path)
    assert found is not None and (found.state["step"], found.path, found.doubt) == (3, tmp_path / "last.pt", None)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(damage: str, tmp_path: Path) -> None:
    save_steps(tmp_path, 1, 2)
    last = tmp_path / "last.pt"
    content = last.read_bytes()
    last.unlink()
    if damage != "gone":
        last.write_bytes(content[: len(content) // 2])
    found = checkpoint.latest(tmp_path)
    assert found is not None and (found.state["step"], found.path.name) == (1, "previous.pt")
    if damage == "gone":
        assert found.doubt is not None and "last.pt is missing; going on from previous.pt" in found.doubt
    else:
        assert found.doubt is not None and "last.pt is damaged" in found.doubt and "\n" not in found.doubt
        assert found.doubt.endswith("going on from previous.pt, of step 1")
