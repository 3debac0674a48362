"""Class maps with reading, computing and writing overlapped are those of the plain loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporalkd.data.label_maps import read_map
from temporalkd.data.source import Source
from temporalkd.data.street import Street
from temporalkd.evaluation import class_maps, each_class_map
from temporalkd.models import Classifier
from tests import tiny
from tests.cli_support import LENGTH, World


class BaseMetric(Source):
    """Frames that know how many of them were taken."""

    name = "counted"

    def __init__(self, length: int, broken: int | None = None):
        self.street, self.length, self.broken = Street(0, length, tiny.SIZE), length, broken
        self.taken = 0

    def __len__(self) -> int:
        return self.length

    def frame(self, index: int) -> Tensor:
        return self.street.frame(index)

    def frames(self) -> Iterator[Tensor]:
        for index in range(self.length):
            if index == self.broken:
                raise ValueError(f"frame {index} is broken")
            self.taken += 1
            yield self.frame(index)


@pytest.fixture(params=[1, 3])
def threads(request: Any) -> Iterator[int]:
    """Torch's, so that one or three frames are computed at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param, "put back"
    torch.set_num_threads(before)


def no_thread_is_left() -> bool:
    return not any(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_the_maps_are_those_of_the_plain_loop_in_order(threads: int) -> None:
    segmenter, source = tiny.segmenter().eval(), BaseMetric(12)
    written: list[tuple[int, Tensor]] = []
    done = list(each_class_map(Classifier(segmenter), source, lambda *pair: written.append(pair)))
    assert done == [index for index, _ in written] == list(range(12)) and source.taken == 12
    assert all(torch.equal(ours, plain) for (_, ours), plain in zip(written, class_maps(segmenter, source)))
    assert no_thread_is_left()


def test_a_few_frames_are_held_however_long_the_footage(threads: int) -> None:
    source = BaseMetric(60)
    done = each_class_map(Classifier(tiny.segmenter()), source, lambda *_: None)
    assert next(done) == 0
    assert source.taken <= threads + 5
    done.close()
    taken = source.taken
    assert no_thread_is_left() and source.taken == taken <= threads + 6


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_an_error_of_any_stage_ends_everything(stage: str, threads: int) -> None:
    source = BaseMetric(40, broken=5 if stage == "read" else None)
    answers: list[int] = []

    class Spoilt(Classifier):
        def require(self, frame: str, size: tuple[int, int]) -> None:
            if stage == "compute" and frame.endswith("frame 5"):
                raise ValueError("frame 5 is broken")

    def write(index: int, classes: Tensor) -> None:
        if stage == "write" and index == 5:
            raise ValueError("frame 5 is broken")
        answers.append(index)

    with pytest.raises(ValueError, match="frame 5 is broken") as caught:
        list(each_class_map(Spoilt(tiny.segmenter()), source, write))
    assert answers == list(range(5))[: len(answers)], "in order, and nothing after the error"
    assert (stage != "write" or len(answers) == 5) and source.taken <= 5 + threads + 6
    del caught
    assert no_thread_is_left()


def test_an_interrupt_leaves_nothing(world: World, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import temporalkd.cli.work.predict as command

    real, written = command.write_map, []

    def write(path: Path, classes: Tensor) -> None:
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        real(path, classes)

    monkeypatch.setattr(command, "write_map", write)
    _, err = call("predict", world.run, world.frames, "-o", "new/maps", code=1)
    assert err == "error: interrupted\n"
    assert list(Path("new").iterdir()) == [] and no_thread_is_left()


def test_bf16_is_near(world: World, call: Any) -> None:
    call("predict", world.run, world.frames, "-o", "half", "--precision", "bf16")
    call("predict", world.run, world.frames, "-o", "full")
    same = [
        (read_map(Path("half") / path.name, classes=9) == read_map(path, classes=9)).float().mean().item()
        for path in Path("full").iterdir()
    ]
    assert len(same) == LENGTH and min(same) > 0.9
