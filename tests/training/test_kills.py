"""Trainings that are killed by SIGKILL, wherever that finds them, end as if nobody had touched them."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli_support import ROOT

if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("no forkserver here", allow_module_level=True)


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    yield importlib.import_module("soaks.kills")
    for name in [name for name in sys.modules if name.split(".")[0] == "soaks"]:
        del sys.modules[name]


def test_killed_at_random_points(soak: Any) -> None:
    done = list(soak.kills(3, seed=5, methods=["selfcorrecting"], processes=[1], most=1))
    assert [(kill.method, kill.where, kill.lost) for kill in done if kill.lost] == []
    assert sum(where not in (soak.MISSED, "") for kill in done for where in kill.where) >= 3, "they were killed"


def test_every_place_is_a_function_that_exists(soak: Any) -> None:
    for file, name in soak.PLACES.values():
        (path,) = (p for room in ("flow", "temporalkd") for p in (ROOT / room).rglob("*.py") if str(p).endswith(file))
        assert f"def {name}" in path.read_text(), (file, name)
