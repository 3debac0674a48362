"""From trained systems to the lines of the table: scored, and their networks timed side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from temporalkd.evaluation import Row
from temporalkd.experiments.comparison.plan import Entry, digest
from temporalkd.experiments.comparison.results import Subject
from temporalkd.experiments.comparison.scores import Scores, Wanted
from temporalkd.experiments.comparison.train import Run
from temporalkd.experiments.run_directory import is_finished
from temporalkd.models import Cost, cost, load_segmenter


def subjects(
    systems: Sequence[Entry],
    seeds: Sequence[int],
    out: Path,
    scores: Scores,
    teachers: Sequence[Wanted],
    smoothed: Entry,
    ema: float,
    failed: Mapping[Run, str],
) -> list[Subject]:
    """Students, the moving average of one of them, teachers, references."""
    students: dict[Run, Wanted] = {}
    for seed in seeds:
        for entry in systems:
            folder = entry.folder(out, seed)
            if is_finished(folder):
                students[entry.name, seed] = _student(entry, seed, folder, ema if entry is smoothed else None)
    rows = scores.networks([*teachers, *students.values()])
    pace = None
    found = []
    for entry in systems:
        own = {seed: students[entry.name, seed] for seed in seeds if (entry.name, seed) in students}
        if own and pace is None:  # the networks of all students are the same
            pace = _cost(next(iter(own.values())), rows, scores)
        folders = {seed: entry.folder(out, seed) for seed in own}
        lost = {seed: failed[entry.name, seed] for seed in seeds if (entry.name, seed) in failed}
        scored: dict[int | None, Row] = {seed: rows[one.name, None] for seed, one in own.items()}
        found.append(Subject(entry.name, "student", scored, pace if own else None, folders, lost, entry.budget))
        if entry is smoothed:
            scored = {seed: rows[one.name, ema] for seed, one in own.items()}
            found.append(
                Subject(f"{entry.name} EMA {ema:g}", "ema", scored, pace if own else None, {}, lost, entry.budget)
            )
    for one in teachers:
        name = "teacher" if len(teachers) == 1 else one.name
        found.append(Subject(name, "teacher", {None: rows[one.name, None]}, _cost(one, rows, scores)))
    return found + [Subject(row.system, "reference", {None: row}) for row in scores.references()]


def _cost(one: Wanted, rows: Mapping[tuple[str, float | None], Row], scores: Scores) -> Cost:
    """Of a network, on a frame of the footage's size."""
    height, width = map(int, rows[one.name, None].size.split("x"))
    return cost(one.make().to(scores.device), (height, width))


def _student(entry: Entry, seed: int, folder: Path, ema: float | None) -> Wanted:
    path = folder / "student.safetensors"
    identity = digest(path) + digest(path.with_suffix(".json"))
    return Wanted(f"{entry.name} seed {seed}", identity, lambda: load_segmenter(path)[0], ema)
