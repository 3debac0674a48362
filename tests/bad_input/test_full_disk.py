"""Disks that are full when a command writes: a line that names the output, and no part of it is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.support import Case, Cases, must_be_refused, predict, render, train
from tests.cli_support import World

resource = pytest.importorskip("resource", reason="files cannot be limited here")

case = Cases()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As on a full disk: the error comes with a write, and without the file's name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@case(1, "cannot write class map", "00.*.png")
def class_maps(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, world.run)


@case(1, "cannot write video", "out.mp4")
def video(world: World, tmp: Path) -> list[Any]:
    return render(world, world.labels, tmp / "out.mp4")


@case(1, "out/config.yaml: File too large")
def run_folder(world: World, tmp: Path) -> list[Any]:
    return train(tmp)


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = case[name].make(world, tmp_path)
    with no_file_larger_than(64):
        must_be_refused(Case(lambda *_: made, case[name].code, case[name].says), world, tmp_path, capsys)
