"""The method and its schedule."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

import torch

from temporalkd.config.build.calls import call, named
from temporalkd.config.build.motion import live_estimator
from temporalkd.config.build.networks import asked_in_training, model
from temporalkd.config import Config, ConfigError, methods
from temporalkd.data.clip import IGNORE
from temporalkd.data.footage import Footage
from temporalkd.data.source import Source
from temporalkd.methods import METHODS, RAMP, TERMS, Method, Ramp, Term, Weighted
from temporalkd.models import Segmenter, Teacher
from temporalkd.training import Plan

STILLS_FOR_WEIGHTS = 200


def method(config: Config, student: Segmenter, teacher: Teacher | None, data: Footage) -> Method:
    """The configured method around the student."""
    section = config.method
    options = section.model_dump(exclude={"name", "terms", "class_weight", "steady", "ramps", "imported", "options"})
    weights = section.class_weight
    if weights == "enet":
        weights = enet_class_weights(data.sources, student.classes)
    elif weights is not None and len(weights) != student.classes:
        raise ConfigError(f"method.class_weight: {len(weights)} numbers for {student.classes} classes")
    if isinstance(section, methods.ImportedMethod):
        maker, options = named(section.imported, "method"), dict(section.options)
        if "class_weight" in inspect.signature(maker).parameters:
            options["class_weight"] = weights
    else:
        maker, options = METHODS[section.name], options | {"class_weight": weights}
    own = call(maker, options, "method")
    if not isinstance(own, list | tuple) or not all(isinstance(term, Weighted) for term in own):
        raise ConfigError(f"method: {maker.__name__} must return a list of temporalkd.methods.Weighted")
    terms = _ramped([*own, *(_term(term) for term in section.terms)], section.ramps)
    count = max((term.term.students for term in terms if term.weight), default=1)
    peers = [_peer(config, data, number) for number in range(1, count)]
    taught = asked_in_training(config, teacher)
    return Method(student, terms, taught, live_estimator(config), config.data.frames, section.steady, peers)


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


def _term(section: methods.Term) -> Weighted:
    if (section.term is None) == (section.imported is None):
        raise ConfigError('method.terms: each has either "term", a known name, or "import", "package.module:Name"')
    if section.term is not None and section.term not in TERMS:
        raise ConfigError(f"method.terms: unknown term {section.term!r}, expected one of {', '.join(TERMS)}")
    maker = TERMS[section.term] if section.term else named(str(section.imported), "method.terms")
    name = section.name or section.term or str(section.imported).rpartition(":")[2]
    term = call(maker, section.options, f"method.terms.{name}")
    if not isinstance(term, Term):
        raise ConfigError(f"method.terms.{name}: must be a temporalkd.methods.Term, it is a {type(term).__name__}")
    return Weighted(name, term, section.weight, _ramp(section.ramp))


def _ramp(section: bool | methods.Ramp) -> Ramp | None:
    if isinstance(section, bool):
        return RAMP if section else None
    return Ramp(section.start, section.end)


def _ramped(terms: list[Weighted], ramps: dict[str, methods.Ramp]) -> list[Weighted]:
    """The terms with the ramps that the config gives them."""
    known = [term.name for term in terms]
    if unknown := [name for name in ramps if name not in known]:
        raise ConfigError(f"method.ramps: unknown term {unknown[0]!r}, expected one of {', '.join(known)}")
    return [replace(term, ramp=_ramp(ramps[term.name])) if term.name in ramps else term for term in terms]


def plan(config: Config) -> Plan:
    """The schedule of the training section."""
    runtime_keys = {"accelerator", "devices", "nodes", "precision"}
    return Plan(**config.training.model_dump(exclude=runtime_keys), jitter=config.data.jitter, seed=config.seed)


def enet_class_weights(sources: Iterable[Source], classes: int) -> list[float]:
    """1 / log(1.02 + share of the class's pixels), from up to 200 labelled frames. Source: Paszke et al., 2016."""
    counts = torch.zeros(classes, dtype=torch.float64)
    labels = (source.label(i) for source in sources for i in source.labelled)
    for label in islice(labels, STILLS_FOR_WEIGHTS):
        if label is not None:
            counts += torch.bincount(label[label != IGNORE].long(), minlength=classes)[:classes]
    return (1 / torch.log(1.02 + counts / counts.sum())).tolist()
