"""Rounds: labels made in one are read in the next, and a run that was cut off goes on as if it had not been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from temporalkd.config import parse
from temporalkd.data.label_maps import read_map
from temporalkd.data.sampler import ClipSampler
from temporalkd.experiments import run
from temporalkd.training import PseudoLabels, checkpoint
from temporalkd.training.step import Stepper
from tests import tiny


def config(folder: Path, **method: Any) -> dict[str, Any]:
    val = {"dataset": "street", "count": 1, "length": 3, "size": list(tiny.SIZE), "seed": 8}
    values = tiny.config(folder, "selfcorrecting")
    values["data"] |= {"val": val, "jitter": 0.3, "crop": [40, 48], "scale": [0.8, 1.4]}
    values["student"]["arguments"] = {"dropout": 0.3}
    values["method"] |= {"rounds": 3, "corrector": "conv", **method}
    values["training"] |= {"steps": 7, "checkpoint_every": 3, "evaluate_every": 4, "gradient_norms_every": 2}
    return values


def train(values: dict[str, Any], folder: Path, resume: bool = False) -> dict[str, Tensor]:
    run.train(parse(values, "test"), folder, resume, lambda line: None)
    return load_file(folder / "student.safetensors")


def logged(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "waited")} for line in lines]


def pseudo(folder: Path) -> dict[str, bytes]:
    place = folder / "pseudo"
    return {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three rounds that nobody disturbed."""
    folder = tmp_path_factory.mktemp("rounds")
    train(config(folder), folder / "run")
    return folder


def test_each_round_leaves_labels_and_says_how_good_they_are(whole: Path) -> None:
    files = pseudo(whole / "run")
    assert len(files) == 3 * 9 and {Path(name).parts[0] for name in files} == {
        f"round{k}{end}" for k in (1, 2, 3) for end in ("", ".json")
    }
    lines = [row for row in logged(whole / "run") if "round" in row]
    assert [(row["step"], row["round"]) for row in lines] == [(2, 1), (4, 2), (7, 3)]
    for row in lines:
        found = json.loads(files[f"round{row['round']}.json"])
        assert found["frames"] == 8 and found["miou"] == row["pseudo/miou"] > 0 and row["pseudo/coverage"] == 1
    assert [row["step"] for row in logged(whole / "run") if "round" not in row] == list(range(1, 8))


def test_a_round_reads_what_the_last_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, set[int]]] = []
    original = ClipSampler.__getitem__

    def watch(self: ClipSampler, position: int) -> Any:
        clip = original(self, position)
        if clip.weak is not None and not clip.labelled.any():
            seen.append((self.pseudo.name if self.pseudo else "", set(clip.weak.unique().tolist())))
        return clip

    monkeypatch.setattr(ClipSampler, "__getitem__", watch)
    values = config(tmp_path)
    values["data"] |= {"crop": None, "scale": [1.0, 1.0]}
    train(values, tmp_path / "run")
    folders = [folder for folder, _ in seen]
    assert list(dict.fromkeys(folders)) == ["", "round1", "round2"]
    for folder, classes in seen:
        if folder:
            maps = [set(read_map(p).unique().tolist()) for p in (tmp_path / "run" / "pseudo" / folder).iterdir()]
            assert classes in maps


@pytest.mark.parametrize("workers", [1])
def test_workers_read_the_new_labels(workers: int, whole: Path, tmp_path: Path) -> None:
    values = config(whole)
    values["training"]["workers"] = workers
    student = train(values, tmp_path / "run")
    assert pseudo(tmp_path / "run") == pseudo(whole / "run")
    before = load_file(whole / "run" / "student.safetensors")
    assert all(torch.equal(before[k], v) for k, v in student.items())


def cut_at_step(monkeypatch: pytest.MonkeyPatch, done: int) -> None:
    original = Stepper._accumulate

    def stop(self: Stepper, number: int, clips: Any) -> Any:
        if number == done:
            raise KeyboardInterrupt
        return original(self, number, clips)

    monkeypatch.setattr(Stepper, "_accumulate", stop)


def cut_at_label(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    original, made = PseudoLabels._label, []

    def stop(self: PseudoLabels, *args: Any) -> None:
        if len(made) == count:
            raise KeyboardInterrupt
        made.append(args)
        original(self, *args)

    monkeypatch.setattr(PseudoLabels, "_label", stop)


def cut_after_label(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """All is written, and nothing of it is logged."""
    original = PseudoLabels.__call__

    def stop(self: PseudoLabels, round_: int, ended: bool) -> Any:
        found = original(self, round_, ended)
        if round_ == number:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(PseudoLabels, "__call__", stop)


CUTS = {
    "first step of a round": (cut_at_step, 4),
    "mid-refresh": (cut_at_label, 5),
    "before the log": (cut_after_label, 1),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_run_that_was_cut_off_goes_on_as_if_nothing_happened(name: str, whole: Path, tmp_path: Path) -> None:
    cut, place = CUTS[name]
    values = config(whole)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        cut(patch, place)
        train(values, tmp_path / "run")
    torch.manual_seed(99)
    resumed = train(values, tmp_path / "run", resume=True)
    before = load_file(whole / "run" / "student.safetensors")
    assert all(torch.equal(before[k], v) for k, v in resumed.items())
    assert pseudo(tmp_path / "run") == pseudo(whole / "run")
    assert logged(tmp_path / "run") == logged(whole / "run")
    assert (tmp_path / "run" / "metrics.csv").read_text() == (whole / "run" / "metrics.csv").read_text()
    states = [
        checkpoint.load(folder / "run" / "checkpoints" / "last.pt")["trainables"]["students"]
        for folder in (whole, tmp_path)
    ]
    assert all(torch.equal(states[0][k], v) for k, v in states[1].items()), "ancillary network and peers too"


def test_labels_that_are_gone_are_missed(tmp_path: Path) -> None:
    values = config(tmp_path)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        cut_at_step(patch, 3)
        train(values, tmp_path / "run")
    (tmp_path / "run" / "pseudo" / "round1.json").unlink()
    checkpointed = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.pt")
    assert checkpointed["step"] == 3
    with pytest.raises(FileNotFoundError, match=r"round1\.json: the labels of round 1 are gone"):
        train(values, tmp_path / "run", resume=True)
