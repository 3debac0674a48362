"""Shared fixtures: where the real data is, and seeds."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from flow import FlowCache
from temporalkd.data.street import Street
from temporalkd.experiments.signals import REQUESTS
from temporalkd.losses import AffinityMemory
from temporalkd.plugins import ALLOWED
from tests.cli_support import World, isolated, make_world, run_main


def _data_root() -> Path | None:
    candidates = [os.environ.get("TEMPORALKD_DATA"), Path(__file__).parents[2] / "shared"]
    return next((Path(c).resolve() for c in candidates if c and (Path(c) / "data").is_dir()), None)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that holds data/ and weights/; skips the test where there is none."""
    root = _data_root()
    if root is None:
        pytest.skip("no real data: set TEMPORALKD_DATA to the folder that holds data/ and weights/")
    return root


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def _remembered(draw: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[Any, Any] = {}

    @wraps(draw)
    def drawn(self: Street, *at: int) -> Any:
        key = (self.seed, self.length, self.size, self.light, self.grain, self.fps, *at)
        if key not in known:
            known[key] = draw(self, *at)
        return copy.deepcopy(known[key])

    return drawn


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Each street is drawn once, ETC's memory is fitted badly and speed measured on three frames; tests of these three
    have them as they are.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name in ("frame", "label", "motion"):
            patched.setattr(Street, name, _remembered(getattr(Street, name)))
        patched.setattr(AffinityMemory.fit.__wrapped__, "__defaults__", (2, 1e-2))  # type: ignore[attr-defined]
        patched.setattr("temporalkd.training.trainer.PREPARE_BATCHES", 1)
        patched.setattr(import_module("temporalkd.models.cost"), "_SECONDS", 0.0)  # `models.cost` is the function
        yield


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Whoever runs the tests may ignore some, as `nohup` does, and a shell for what it runs in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in REQUESTS:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def own_networks() -> None:
    """The networks of these tests may be imported, whoever names them."""
    os.environ[ALLOWED] = "tests"


@pytest.fixture(autouse=True)
def nothing_that_another_test_allowed() -> None:
    os.environ[ALLOWED] = "tests"


@pytest.fixture(scope="session")
def flow_cache(tmp_path_factory: pytest.TempPathFactory) -> FlowCache:
    """Computed flow, kept for all tests of a run."""
    return FlowCache(tmp_path_factory.mktemp("flow"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Input of every kind for commands."""
    return make_world(tmp_path_factory.getbasetemp() / "world")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[None]:
    """A working folder, a data root and a flow cache of the test's own."""
    with isolated(tmp_path / "cache", tmp_path):
        yield


@pytest.fixture
def call(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Run a command that must end with the given code; its stdout and stderr."""

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        got = run_main([str(word) for word in arguments])
        out, err = capsys.readouterr()
        assert got == code, err
        return out, err

    return run
