"""Equal minutes: what a step and the teacher's store of each training cost here, and how many steps follow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from temporalkd.config import Config, ConfigError, build
from temporalkd.data.prediction_store import Targets, Uniform, frames_of
from temporalkd.data.source import Source
from temporalkd.experiments.comparison.plan import Entry
from temporalkd.models import Teacher, to_store
from temporalkd.paths import read_json, read_lines, write_json
from temporalkd.training import Runtime, Trainer
from temporalkd.training.log import LOG

FILE = "budget.json"
"""In OUT, of all trainings; in a run folder, of that one."""
ROUNDS, STEPS, WARM = 2, 6, 2
"""Each training is timed in so many rounds of so many steps, of which the first ones do not count."""
FRAMES = 3
"""Frames that the teacher's store is timed on."""


@dataclass(frozen=True)
class Budget:
    """What a training may take, and takes: the store counts in full, whoever has filled it before."""

    minutes: float
    seconds_per_step: float
    store_seconds: float
    steps: int


def budgeted(
    systems: Sequence[Entry], minutes: Sequence[float], seed: int, out: Path, say: Callable[[str], None]
) -> list[Entry]:
    """Each system once for each number of minutes, with the steps that fit into it.

    What OUT/budget.json knows is kept: no clock decides when a comparison goes on. The systems are timed in turns.

    Raises:
        ConfigError: not a single step fits, or a training has several processes.
    """
    path = out / FILE
    known = {key: Budget(**value) for key, value in read_json(path).items()} if path.is_file() else {}
    missing = [e for e in systems if any(_path(e, m) not in known for m in minutes)]
    for entry, (step, store) in zip(missing, _costs([entry.at(seed) for entry in missing], say)):
        for given in minutes:
            steps = int((60 * given - store) / step)
            if steps < 1:
                raise ConfigError(
                    f"--minutes {given:g}: too few for {entry.name}: {store:.0f} s for the teacher's store and "
                    f"{step:.2f} s a step"
                )
            known.setdefault(_path(entry, given), Budget(given, step, store, steps))
    if missing:
        write_json(path, {key: asdict(budget) for key, budget in known.items()})
    found = []
    for given in minutes:
        for entry in systems:
            budget = known[_path(entry, given)]
            training = entry.config.training.model_copy(update={"steps": budget.steps})
            config = entry.config.model_copy(update={"training": training})
            name = f"{entry.name}, {given:g} min"
            found.append(Entry(name, _path(entry, given), config, asdict(budget)))
    return found


def _path(entry: Entry, minutes: float) -> str:
    return f"{entry.path}/{minutes:g}min"


def _costs(configs: Sequence[Config], say: Callable[[str], None]) -> list[tuple[float, float]]:
    """(seconds of a step, seconds of the store) of each training."""
    stores: list[float] = []
    seconds: list[list[float]] = [[] for _ in configs]
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS):
            for number, config in enumerate(configs):
                place = Path(folder) / f"{number}-{turn}"
                store, steps = _timed(config, place, with_store=turn == 0)
                stores += [store] if turn == 0 else []
                seconds[number] += steps
    found = [(median(steps), store) for steps, store in zip(seconds, stores)]
    for config, (step, store) in zip(configs, found):
        say(f"{config.name}: {step:.2f} s a step, {store:.0f} s for the teacher's store")
    return found


def _timed(config: Config, place: Path, with_store: bool) -> tuple[float, list[float]]:
    """Seconds of the store, where they are wanted, and of a few steps of the training itself."""
    section = config.training
    if (section.devices, section.nodes) != (1, 1):
        raise ConfigError("--minutes: trainings of several processes cannot be timed: set training.devices to 1")
    runtime = Runtime(section.accelerator, 1, section.precision)
    data = build.training_footage(config)
    student, _ = build.model(config.student, "student", data)
    teacher = build.teacher(config, data)
    unweighted = config.method.model_copy(update={"class_weight": None})
    method = build.method(config.model_copy(update={"method": unweighted}), student, teacher, data)
    wanted = build.targets(config, teacher, place / "store") if method.needs_teacher else None
    clips = build.sampler(config, data, method.self_training is not None, wanted)
    asked, store = build.of_footage(method, clips), 0.0
    if wanted is not None and teacher is not None:
        teacher.to(runtime.device).eval()
        if with_store:
            store = _store_seconds(wanted, asked)
        clips.targets = _stand_in(teacher, asked[0])
    plan = build.plan(config).model_copy(update={"steps": STEPS, "log_every": 1, "evaluate_every": 0, "warmup": 0})
    (place / "run").mkdir(parents=True)
    method.self_training = None
    Trainer(method, clips, plan, runtime, place / "run", name="timing").fit()
    return store, [line["seconds"] for line in read_lines(place / "run" / LOG)][WARM:]


def _store_seconds(targets: Targets, sources: Sequence[Source]) -> float:
    """Of all frames, by a few of them in a row."""
    frames = frames_of(sources)
    start = max(len(frames) // 2 - FRAMES, 0)
    chosen = frames[start + 1 : start + 1 + FRAMES] or frames
    targets(*frames[start])  # the first call of a network is slower
    began = time.monotonic()
    for source, index in chosen:
        targets(source, index)
    return (time.monotonic() - began) / len(chosen) * len(frames)


def _stand_in(teacher: Teacher, source: Source) -> Uniform:
    """Targets of the store's size, at the cost of reading them alone."""
    frame = source.frame(0)
    like = to_store(teacher)(frame[None].float() / 255)[0]
    return Uniform(like, (frame.shape[1], frame.shape[2]))


def record(entry: Entry, folder: Path) -> None:
    """The budget of a training, into its run folder."""
    values: dict[str, Any] | None = entry.budget
    if values is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, values)
