"""Everything that was found, as plain values: what compare.json holds and the tables show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from temporalkd.evaluation import SHARES, Row
from temporalkd.experiments import resources
from temporalkd.experiments.comparison.scores import MEASURES
from temporalkd.metrics import mean_difference
from temporalkd.models import Cost
from temporalkd.paths import read_lines

Values = dict[str, Any]


@dataclass
class Subject:
    """A line of the table.

    Args:
        kind: student, ema, teacher or reference.
        rows: seed -> scores; what has no seed has seed None.
        folders: seed -> run folder, of students.
        failed: seed -> why its training failed.
        budget: of its minutes, where all have equal ones; it is compared with those of the same minutes.
    """

    name: str
    kind: str
    rows: Mapping[int | None, Row]
    cost: Cost | None = None
    folders: Mapping[int, Path] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    budget: Mapping[str, Any] | None = None


def results(subjects: Sequence[Subject], compared_with: Sequence[str]) -> Values:
    """{"systems": [...], "differences": [...]}: shares in percent, differences in points."""
    by_name = {subject.name: subject for subject in subjects}
    trained = [subject for subject in subjects if subject.kind in ("student", "ema")]
    pairs = [
        (one, by_name[other])
        for other in compared_with
        for one in trained
        if one.name != other and _minutes(one) == _minutes(by_name[other])
    ]
    return {
        "systems": [_system(subject) for subject in subjects],
        "differences": [found for pair in pairs for found in _differences(*pair)],
    }


def _minutes(subject: Subject) -> float | None:
    return subject.budget["minutes"] if subject.budget else None


def failures(found: Values) -> list[str]:
    """The trainings that failed, each with the reason."""
    students = [system for system in found["systems"] if system["kind"] == "student"]
    return [f"{s['name']}, seed {seed}: {reason}" for s in students for seed, reason in s["failed"].items()]


def _system(subject: Subject) -> Values:
    trainings = {seed: training(folder) for seed, folder in subject.folders.items()}
    cost = subject.cost
    return {
        "name": subject.name,
        "kind": subject.kind,
        "scores": {key: spread({seed: row[key] for seed, row in subject.rows.items()}) for key in SHARES},
        "budget": dict(subject.budget) if subject.budget else None,
        "parameters": cost.parameters if cost else None,
        "gmacs": cost.gmacs if cost else None,
        "fps": cost.fps if cost and subject.kind != "ema" else None,
        "training": {
            key: spread({seed: found[key] for seed, found in trainings.items()})
            for key in ("seconds_per_step", "minutes", "peak_mib")
        },
        "devices": sorted({found["device"] for found in trainings.values() if found["device"]}),
        "partly_measured": [seed for seed, found in trainings.items() if not found["whole"]],
        "failed": {str(seed): reason for seed, reason in subject.failed.items()},
    }


def training(folder: Path) -> Values:
    """What a run took: the median of its recorded steps but the first; minutes of the processor or of the GPU; memory.

    `whole`: False where an attempt was killed, so that its minutes are not known.
    """
    attempts = resources.read(folder)
    known = [attempt for attempt in attempts if attempt is not None]
    on_gpu = any(attempt["device"] == "cuda" for attempt in known)
    peaks = [p for attempt in known if (p := attempt.get("gpu_peak_mib" if on_gpu else "peak_mib")) is not None]
    minutes = sum(attempt["seconds" if on_gpu else "cpu_seconds"] for attempt in known) / 60
    log = folder / "log.jsonl"
    lines = read_lines(log) if log.is_file() else []
    steps = [line["seconds"] for line in lines if isinstance(line.get("seconds"), int | float)]  # not a round's end
    return {
        "seconds_per_step": median(steps[1:]) if steps[1:] else None,
        "minutes": minutes if known else None,
        "peak_mib": max(peaks, default=None),
        "device": known[0]["device"] if known else None,
        "whole": len(known) == len(attempts),
    }


def spread(per_seed: Mapping[int | None, float | None]) -> Values:
    """Mean, lowest and highest over the seeds, and each; None where nothing is known."""
    known = [value for value in per_seed.values() if value is not None]
    return {
        "mean": fmean(known) if known else None,
        "low": min(known, default=None),
        "high": max(known, default=None),
        "per_seed": {"all" if seed is None else str(seed): value for seed, value in per_seed.items()},
    }


def _differences(one: Subject, other: Subject) -> list[Values]:
    """Paired over the seeds that both have, one a measure."""
    seeds = [seed for seed in one.rows if seed in other.rows]
    found = []
    for key in MEASURES if seeds else ():
        ours, theirs = ([rows[seed].series[key] for seed in seeds] for rows in (one.rows, other.rows))
        value, low, high = (100 * float(x) for x in mean_difference(ours, theirs))
        if value != value:
            continue
        each = [100 * float(a.value() - b.value()) for a, b in zip(ours, theirs)]
        found.append(
            {
                "system": one.name,
                "minus": other.name,
                "measure": key,
                "mean": value,
                "low": None if low != low else low,
                "high": None if high != high else high,
                "signs": " ".join("+" if x > 0 else "-" if x < 0 else "0" for x in each),
                "per_seed": {str(seed): x for seed, x in zip(seeds, each)},
            }
        )
    return found
