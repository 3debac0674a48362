"""Everything that the trainings and the scoring need, built once before time is spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from temporalkd.config import build
from temporalkd.experiments.comparison.plan import Entry, digest
from temporalkd.experiments.comparison.scores import Scores, Wanted
from temporalkd.models import Teacher, is_source
from temporalkd.paths import find


def preflight(systems: Sequence[Entry], seed: int, device: torch.device, out: Path) -> tuple[list[Wanted], Scores]:
    """Build data, networks and terms of every system: what is missing or does not fit is found here.

    Returns:
        The teachers, each once, and what scores.
    Raises:
        ConfigError, ValueError, FileNotFoundError: as in a training of the system.
    """
    teachers: dict[str, Wanted] = {}
    for entry in systems:
        config = entry.at(seed)
        data = build.training_footage(config)
        student, _ = build.model(config.student, "student", data)
        teacher = build.teacher(config, data)
        if config.teacher is not None:
            wanted = _wanted(entry)
            teachers.setdefault(wanted.digest, wanted)
        unweighted = config.method.model_copy(update={"class_weight": None})  # counting classes is left to the training
        method = build.method(config.model_copy(update={"method": unweighted}), student, teacher, data)
        build.of_footage(method, build.sampler(config, data, method.self_training is not None))
    return list(teachers.values()), Scores(systems[0].at(seed), student.classes, device, out / "scores")


def _wanted(entry: Entry) -> Wanted:
    """The teacher of one network or two; the same for all systems that name it."""
    sections = [section for section in (entry.config.teacher, entry.config.second_teacher) if section is not None]
    weights = [section.weights for section in sections if section.weights is not None]
    files = " ".join(path if is_source(path) else digest(find(path, "weights")) for path in weights)
    described = " ".join(section.model_dump_json() for section in sections)
    return Wanted(f"teacher {' + '.join(weights)}", f"{files} {described}", partial(_teacher, entry))


def _teacher(entry: Entry) -> Teacher:
    config = entry.config
    teacher = build.teacher(config, build.training_footage(config))
    assert teacher is not None
    return teacher
