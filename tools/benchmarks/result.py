"""A figure beside its reference, timed side by side in one run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass
class Result:
    """One line: what was done how fast by us and by the reference, and what both had to agree on.

    None where the reference cannot be run.
    """

    what: str
    unit: str
    ours: float
    reference: float | None
    ratio: float | None
    memory: str = ""
    agreement: str = ""


def rates(ours: Callable[[], object], reference: Callable[[], object], items: int, repeats: int) -> tuple[float, float]:
    """Items a second of each, the better of `repeats` turns taken in alternation, so that both see the same machine."""
    best = [float("inf"), float("inf")]
    for _ in range(repeats):
        for which, job in enumerate((ours, reference)):
            started = time.perf_counter()
            job()
            best[which] = min(best[which], time.perf_counter() - started)
    return items / best[0], items / best[1]


def as_json(results: Sequence[Result], machine: str) -> str:
    """{"machine": ..., "results": [...]}."""
    return json.dumps({"machine": machine, "results": [asdict(result) for result in results]}, indent=2) + "\n"
