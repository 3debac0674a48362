"""tools/soak.py --fuzz: a few damaged files of every reader, and that fuzzing sees what it is for."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli_support import ROOT

COUNT = 25
TOOLS = str(ROOT / "tools")
sys.path.insert(0, TOOLS)
READERS = importlib.import_module("soaks.readers").READERS
sys.path.remove(TOOLS)


@pytest.fixture
def soaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, as its script imports it, here and in processes that it starts."""
    monkeypatch.syspath_prepend(TOOLS)
    yield importlib.import_module("soaks.fuzz")


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_or_read_as_what_they_could_be(name: str, soaks: Any, tmp_path: Path) -> None:
    outcomes = list(soaks.outcomes_of(READERS[name], tmp_path, 0, range(COUNT)))
    assert [o.finding for o in outcomes if o.finding] == []
    assert any(o.refused for o in outcomes)


def test_damage_is_the_same_for_the_same_seed_and_never_none(soaks: Any) -> None:
    damaged = importlib.import_module("soaks.mutations").damaged
    content = bytes(range(100))
    found = [damaged(content, 1, number) for number in range(200)]
    assert found == [damaged(content, 1, number) for number in range(200)]
    assert content not in found and len(set(found)) > 190
    assert damaged(b"", 0)


def readers_that_fail(folder: Path) -> dict[str, Any]:
    """In the ways that fuzzing must notice."""
    make = importlib.import_module("soaks.written")._text("a.txt", "whole")
    Reader = importlib.import_module("soaks.reader").Reader

    def unless_whole(act: Any) -> Any:
        return lambda path: path.read_bytes() == b"whole" or act()

    def refuse() -> None:
        raise ValueError("line one\nline two of a.txt")

    def stumble() -> None:
        raise KeyError("x")

    acts = {"refuse": refuse, "stumble": stumble, "sleep": lambda: time.sleep(60), "die": lambda: os._exit(11)}
    readers = {name: Reader(name, make, unless_whole(act), bool) for name, act in acts.items()}
    readers["invalid"] = Reader("invalid", make, lambda path: path.read_bytes() == b"whole", bool)
    readers["silent"] = Reader("silent", make, Path.read_bytes, bool, checked=True)
    return readers


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refuse", "refuse 0: not one line that names the file"),
        ("stumble", "stumble 0: KeyError"),
        ("invalid", "invalid 0: reads as an invalid value"),
        ("silent", "silent 0: damage that its checksums tell is read"),
    ],
)
def test_what_must_not_be_is_found(name: str, says: str, soaks: Any, tmp_path: Path) -> None:
    (outcome,) = soaks.outcomes_of(readers_that_fail(tmp_path)[name], tmp_path, 0, range(1))
    assert outcome.finding.startswith(says)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the readers that fail are handed over by forking")
@pytest.mark.parametrize(("name", "says"), [("sleep", "hangs for"), ("die", "ends its process, exit code 11")])
def test_hangs_and_crashes_are_found_and_gone_on_after(
    name: str, says: str, soaks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soaks, "READERS", readers_that_fail(tmp_path))
    monkeypatch.setattr(soaks, "SECONDS", 0.5)
    context = soaks.multiprocessing.get_context("fork")
    monkeypatch.setattr(soaks.multiprocessing, "get_context", lambda kind: context)
    monkeypatch.setattr(soaks, "MEMORY", -1)
    told = soaks.fuzz(name, 2, 0, str(tmp_path))
    assert [says in finding for finding in told.findings] == [True, True]
    assert told.read == 2
