"""The method and its schedule."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch

from temporalkd.config import Config, ConfigError
from temporalkd.config.build.motion import live_estimator
from temporalkd.config.build.networks import model
from temporalkd.config.build.targets import in_training
from temporalkd.data.clip import IGNORE
from temporalkd.data.footage import Footage
from temporalkd.data.source import Source
from temporalkd.methods import Method
from temporalkd.models import Segmenter, Teacher
from temporalkd.training import Plan, Schedule

STILLS_FOR_WEIGHTS = 200


def method(config: Config, student: Segmenter, teacher: Teacher | None, data: Footage) -> Method:
    """The configured method around the student."""
    section = config.method
    weights = section.class_weight
    if weights == "enet":
        weights = enet_class_weights(data.sources, student.classes)
    elif weights is not None and len(weights) != student.classes:
        raise ConfigError(f"method.class_weight: {len(weights)} numbers for {student.classes} classes")
    return section.model_copy(update={"class_weight": weights}).build(
        student,
        in_training(config, teacher),
        live_estimator(config),
        config.data.frames,
        lambda number: _peer(config, data, number),
    )


def _peer(config: Config, data: Footage, number: int) -> Segmenter:
    """Another student of the same kind, with a start of its own."""
    if config.student.weights:
        raise ConfigError(
            f"student.weights: {config.student.weights} would start all students equal, and they would stay equal: "
            "leave it out, or set method.collaboration to 0"
        )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed + number * 1_000_003)
        return model(config.student, "student", data)[0]


def plan(config: Config) -> Plan:
    """The schedule of the training section."""
    common = config.training.model_dump(include=set(Schedule.model_fields))
    return Plan(
        **common,
        loggers=config.training.loggers,
        jitter=config.data.jitter,
        disturbance=config.data.disturbance,
        teacher_disturbed=config.teacher is not None and config.teacher.disturbed,
        seed=config.seed,
    )


def enet_class_weights(sources: Iterable[Source], classes: int) -> list[float]:
    """1 / log(1.02 + share of the class's pixels), from up to 200 labelled frames. Source: Paszke et al., 2016."""
    counts = torch.zeros(classes, dtype=torch.float64)
    labels = (source.label(i) for source in sources for i in source.labelled)
    for label in islice(labels, STILLS_FOR_WEIGHTS):
        if label is not None:
            counts += torch.bincount(label[label != IGNORE].long(), minlength=classes)[:classes]
    return (1 / torch.log(1.02 + counts / counts.sum())).tolist()
