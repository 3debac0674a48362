"""What a training meets that is no fault of its own: it says so in a line, and nothing that was saved is lost."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from temporalkd.config import parse
from temporalkd.data.sampler import ClipSampler
from temporalkd.experiments import run
from temporalkd.methods import TrainableModules
from temporalkd.training import checkpoint
from tests import tiny
from tests.processes import together


def train(values: dict[str, Any], folder: Path, resume: bool = False) -> dict[str, Any]:
    run.train(parse(values, "test"), folder, resume, lambda line: None)
    return load_file(folder / "student.safetensors")


def config(folder: Path, **training: Any) -> dict[str, Any]:
    values = tiny.config(folder)
    values["training"] |= {"checkpoint_every": 2, **training}
    return values


def goes_on_as_if_nothing_had_happened(values: dict[str, Any], folder: Path) -> None:
    assert not list((folder / "cut").rglob(".*.part"))
    resumed, whole = train(values, folder / "cut", resume=True), train(values, folder / "whole")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize(("code", "says"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system")])
def test_a_disk_that_is_full_or_read_only(code: int, says: str, tmp_path: Path) -> None:
    """From the second checkpoint on: a full one says so when bytes are to be kept, a read-only one at once."""
    values = config(tmp_path)
    writes: list[Path] = []

    def refuse(path: Path) -> None:
        if "last.pt" in path.name:
            writes.append(path)
            if len(writes) > 1:
                raise OSError(code, os.strerror(code), str(path))

    fsync, open_ = os.fsync, Path.open

    def full(descriptor: int) -> None:
        refuse(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def read_only(path: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "xb":
            refuse(path)
        return open_(path, mode, **options)

    with pytest.MonkeyPatch.context() as patched:
        if code == errno.ENOSPC:
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "open", read_only)
        with pytest.raises(OSError, match=rf"last\.pt: the checkpoint cannot be written, .* stays: {says}") as told:
            train(values, tmp_path / "cut")
    assert (code != errno.ENOSPC) or str(told.value).endswith(": make room; --resume goes on from step 2")
    assert checkpoint.load(tmp_path / "cut" / "checkpoints" / "last.pt")["step"] == 2
    goes_on_as_if_nothing_had_happened(values, tmp_path)


def refused(values: dict[str, Any], folder: Path) -> None:
    with pytest.raises(OSError, match="cut: another training writes there"):
        train(values, folder, resume=True)


def test_two_trainings_do_not_write_into_one_folder(tmp_path: Path) -> None:
    """A second one is refused while the first is at it, and what the first does is as if nobody had asked."""
    values, forward, told = config(tmp_path), TrainableModules.forward, []

    def asked(self: TrainableModules, context: Any) -> Any:
        if not told:
            told.append(True)
            together(refused, values, tmp_path / "cut", count=1)
        return forward(self, context)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainableModules, "forward", asked)
        first = train(values, tmp_path / "cut")
    assert told
    whole = train(values, tmp_path / "whole")
    assert all(torch.equal(whole[key], first[key]) for key in whole)
    names = [
        sorted(path.name for path in (tmp_path / run).iterdir() if "events" not in path.name)
        for run in ("cut", "whole")
    ]
    assert names[0] == names[1]


def test_a_frame_that_a_worker_cannot_read(tmp_path: Path) -> None:
    """It says what it says without workers, in one line."""
    values, original = config(tmp_path, workers=1), ClipSampler.__getitem__

    def missing(self: ClipSampler, position: int) -> Any:
        if position == 6:
            raise FileNotFoundError("frames/0007.png: no such image file")
        return original(self, position)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ClipSampler, "__getitem__", missing)
        with pytest.raises(FileNotFoundError) as told:
            train(values, tmp_path / "cut")
    assert str(told.value) == "frames/0007.png: no such image file"
    goes_on_as_if_nothing_had_happened(values, tmp_path)


def test_a_loader_worker_that_is_killed(tmp_path: Path) -> None:
    values = config(tmp_path, workers=1)
    parent, original = os.getpid(), ClipSampler.__getitem__

    def killed(self: ClipSampler, position: int) -> Any:
        if position == 10 and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, position)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ClipSampler, "__getitem__", killed)
        with pytest.raises(ChildProcessError, match=r"step [3-6]: .*training\.workers"):
            train(values, tmp_path / "cut")
    goes_on_as_if_nothing_had_happened(values, tmp_path)


def test_a_step_for_which_there_is_no_memory(tmp_path: Path) -> None:
    """A real request that no machine can fulfil."""
    values = config(tmp_path)
    original, calls = TrainableModules.forward, []

    def greedy(self: TrainableModules, context: Any) -> Any:
        calls.append(context)
        if len(calls) == 4:
            torch.empty(1 << 60)
        return original(self, context)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainableModules, "forward", greedy)
        with pytest.raises(
            MemoryError, match=r"no memory for step 4, 2 clips of 1 frames at once \(\d+ bytes more"
        ) as told:
            train(values, tmp_path / "cut")
    assert "training.batch" in str(told.value) and str(told.value).endswith("--resume goes on from step 2")
    goes_on_as_if_nothing_had_happened(values, tmp_path)


class Pooled(tiny.Tiny):
    """With BatchNorm over a single pixel, as image pooling has it."""

    def __init__(self, classes: int):
        super().__init__(classes)
        self.body.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8), nn.Upsample((12, 16))))


def test_batch_norm_of_one_value_says_what_to_do(tmp_path: Path) -> None:
    values = config(tmp_path, batch=1)
    values["student"]["architecture"] = "tests.training.test_errors:Pooled"
    with pytest.raises(ValueError, match=r"step 1, 1 clips .* sees one value of each channel.*: raise training\.batch"):
        train(values, tmp_path / "cut")
    values["training"]["batch"] = 2
    train(values, tmp_path / "cut")
