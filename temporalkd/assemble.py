"""From a config to the objects it names."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import flow as optical_flow
from flow import FlowCache, FlowEstimator
from temporalkd.config import Config, ConfigError, schema
from temporalkd.data import camvid, cityscapes, voc, vspw
from temporalkd.data.augment import Augment
from temporalkd.data.clip import IGNORE
from temporalkd.data.footage import Footage, folder, street, video
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.semi import hide_labels
from temporalkd.data.source import EstimateMotion, Source
from temporalkd.imports import imported
from temporalkd.methods import METHODS, TERMS, Method, Term, Weighted
from temporalkd.models import (
    JointTeacher,
    ModelSpec,
    Normalisation,
    Segmenter,
    Teacher,
    build,
    load_encoder,
    load_segmenter,
    load_weights,
)
from temporalkd.roots import find
from temporalkd.training import Plan

STILLS_FOR_WEIGHTS = 200


def footage(section: Any, root: str | None, seed: int, labelled: bool = True) -> Footage:
    """The footage that a dataset section names; what is not to be `labelled` needs no labels on disk."""

    def at(path: str) -> Path:
        return Path(root) / path if root is not None else find(path, "data")

    def place(layout: str) -> Path:
        given = section.root or root
        try:
            return Path(given).expanduser() if given else find(section.dataset, "data")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; {layout}") from None

    match section:
        case schema.CamVid():
            return camvid.camvid(place(camvid.LAYOUT), section.split, section.synthetic_motion, seed)
        case schema.Folder():
            return folder(
                at(section.images),
                at(section.labels) if section.labels else None,
                section.class_names,
                section.void,
                section.synthetic_motion,
                section.fps,
                seed,
            )
        case schema.Video():
            return video(at(section.path))
        case schema.Cityscapes():
            where = place(cityscapes.LAYOUT)
            return cityscapes.cityscapes(where, section.split, section.coarse, section.synthetic_motion, seed, labelled)
        case schema.VSPW():
            return vspw.vspw(place(vspw.LAYOUT), section.split, labelled)
        case schema.VOC():
            return voc.voc(place(voc.LAYOUT), section.split, section.synthetic_motion, seed, labelled)
        case schema.Street():
            return street(section.count, section.seed, section.length, section.size)
    made = _call(_imported(section.name, "data"), section.options, f"data: {section.name}")
    if not isinstance(made, Footage):
        raise ConfigError(f"data: {section.name} must return a Footage, it returned {type(made).__name__}")
    return made


def training_footage(config: Config) -> Footage:
    """data.train, with the labels hidden that data.semi hides."""
    data, semi = footage(config.data.train, config.data.root, config.seed), config.data.semi
    if semi is None:
        return data
    estimate = _estimate(config) if semi.weak == "flow" else None
    sources = hide_labels(data.sources, semi.labelled, semi.weak, semi.share, semi.margin, semi.seed, estimate)
    return replace(data, sources=sources)


def model(section: schema.Model, where: str, data: Footage | None) -> tuple[Segmenter, ModelSpec]:
    """The network of a model section, with its weights; `data` says how many classes an untrained one gets."""
    if section.weights and section.architecture is None:
        return load_segmenter(find(section.weights, "weights"))
    if section.architecture is None:
        raise ConfigError(f"{where}: name an architecture, or weights with a json beside them")
    if data is None or not data.class_names:
        raise ConfigError(f"{where}: the data names no classes, so the number of outputs is not known")
    spec = ModelSpec(
        architecture=section.architecture,
        classes=len(data.class_names),
        arguments=section.arguments,
        normalisation=Normalisation(**section.normalisation.model_dump()),
        roles=dict(section.roles),
        class_names=data.class_names,
        palette=data.palette,
    )
    segmenter = build(spec)
    if section.encoder_weights:
        source = section.encoder_weights
        encoder = getattr(segmenter.network, "encoder", None) or getattr(segmenter.network, "backbone", None)
        if encoder is None:
            raise ConfigError(f"{where}.encoder_weights: {section.architecture} has no encoder or backbone")
        load_encoder(encoder, source if source.startswith("package:") else find(source, "weights"))
    if section.weights:
        load_weights(segmenter.network, find(section.weights, "weights"))
    return segmenter, spec


def flows(kinds: Iterable[str], device: torch.device, weights: str | None = None) -> dict[str, FlowEstimator | None]:
    """Estimators to evaluate with, by name; None for "exact", the data's own motion."""
    return {
        kind: None if kind == "exact" else optical_flow.build(kind, weights).to(device) for kind in dict.fromkeys(kinds)
    }


def default_cache(folder: str | None = None, gigabytes: float = 20.0) -> FlowCache:
    """Computed flow on disk: the folder given, TEMPORALKD_CACHE, or ~/.cache/temporalkd/flow."""
    place = folder or os.environ.get("TEMPORALKD_CACHE") or "~/.cache/temporalkd/flow"
    return FlowCache(Path(place).expanduser(), int(gigabytes * 2**30))


def teacher(config: Config, data: Footage) -> Teacher | None:
    """The frozen teacher, of one network or two, if the config names any."""
    sections = {"teacher": config.teacher, "second_teacher": config.second_teacher}
    if config.teacher is None:
        if config.second_teacher is not None:
            raise ConfigError("second_teacher: there is no teacher, and a second one needs a first")
        return None
    networks = []
    for where, section in sections.items():
        if section is not None:
            if not section.weights:
                raise ConfigError(f"{where}.weights: missing: an untrained teacher teaches nothing")
            networks.append(model(section, where, data)[0])
    if config.second_teacher is None:
        return networks[0]
    second = config.second_teacher
    return JointTeacher(dict(zip(("first", "second"), networks)), second.fusion == "mean", second.temperature)


def known_labels(config: Config) -> dict[str, Any]:
    """What a network's json says of the labels that it was trained on, where data.semi hides some."""
    semi = config.data.semi
    if semi is None:
        return {}
    train = config.data.train.model_dump(mode="json", by_alias=True, exclude={"root"})
    return {"semi": {"train": train, "labelled": semi.labelled, "seed": semi.seed}}


def doubts(config: Config) -> Iterator[str]:
    """A line for each teacher that is not known to have been trained on the same labels as its students."""
    sections = {"teacher": config.teacher, "second_teacher": config.second_teacher}
    for where, section in sections.items() if config.data.semi is not None else ():
        card = find(section.weights, "weights").with_suffix(".json") if section and section.weights else None
        found = json.loads(card.read_text()) if card and card.is_file() else {}
        if section and found.get("semi") != known_labels(config)["semi"]:
            yield (
                f"{where}.weights: {section.weights} is not known to have been trained on the labels alone that "
                "data.semi leaves: it may give the hidden ones away"
            )


def method(config: Config, student: Segmenter, teacher: Teacher | None, data: Footage) -> Method:
    """The configured method around the student."""
    section = config.method
    options = section.model_dump(exclude={"name", "terms", "class_weight", "steady", "imported", "options"})
    weights = section.class_weight
    if weights == "enet":
        weights = enet_class_weights(data.sources, student.classes)
    elif weights is not None and len(weights) != student.classes:
        raise ConfigError(f"method.class_weight: {len(weights)} numbers for {student.classes} classes")
    if isinstance(section, schema.ImportedMethod):
        maker, options = _imported(section.imported, "method"), dict(section.options)
        if "class_weight" in inspect.signature(maker).parameters:
            options["class_weight"] = weights
    else:
        maker, options = METHODS[section.name], options | {"class_weight": weights}
    own = _call(maker, options, "method")
    if not isinstance(own, list | tuple) or not all(isinstance(term, Weighted) for term in own):
        raise ConfigError(f"method: {maker.__name__} must return a list of temporalkd.methods.Weighted")
    terms = [*own, *(_term(term) for term in section.terms)]
    live = optical_flow.build(config.flow.kind, config.flow.weights) if config.flow and not config.flow.cached else None
    count = max((term.term.students for term in terms if term.weight), default=1)
    peers = [_peer(config, data, number) for number in range(1, count)]
    return Method(student, terms, teacher, live, config.data.frames, section.steady, peers)


def _peer(config: Config, data: Footage, number: int) -> Segmenter:
    """Another student of the same kind, with a start of its own."""
    if config.student.weights:
        raise ConfigError(
            f"student.weights: {config.student.weights} would be the start of all students, and alike they stay: "
            "leave it out, or set method.collaboration to 0"
        )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed + number * 1_000_003)
        return model(config.student, "student", data)[0]


def _term(section: schema.Term) -> Weighted:
    if (section.term is None) == (section.imported is None):
        raise ConfigError('method.terms: each has either "term", a known name, or "import", "package.module:Name"')
    if section.term is not None and section.term not in TERMS:
        raise ConfigError(f"method.terms: unknown term {section.term!r}, expected one of {', '.join(TERMS)}")
    maker = TERMS[section.term] if section.term else _imported(str(section.imported), "method.terms")
    name = section.name or section.term or str(section.imported).rpartition(":")[2]
    term = _call(maker, section.options, f"method.terms.{name}")
    if not isinstance(term, Term):
        raise ConfigError(f"method.terms.{name}: must be a temporalkd.methods.Term, it is a {type(term).__name__}")
    return Weighted(name, term, section.weight, section.ramp)


def sampler(config: Config, data: Footage, without_labels: bool = False) -> ClipSampler:
    """Clips of the configured length and geometry.

    Args:
        without_labels: frames whose labels are hidden are drawn too, as the method learns from them.
    """
    section, semi = config.data, config.data.semi
    unlabelled: Sequence[Source] = ()
    if section.unlabelled:
        unlabelled = footage(section.unlabelled, section.root, config.seed, labelled=False).sources
    without_labels = without_labels or (semi is not None and semi.unlabelled)
    if without_labels and not unlabelled and not any(source.withheld for source in data.sources):
        remedy = f"data.semi.labelled is {semi.labelled}, lower it" if semi else "set data.semi or data.unlabelled"
        raise ConfigError(f"method {config.method.name} learns from frames without labels, and there is none: {remedy}")
    return ClipSampler(
        data.sources,
        section.frames,
        section.gaps,
        config.seed,
        unlabelled=unlabelled,
        augment=Augment(section.crop, section.scale, section.flip),
        motion=section.frames > 1,
        estimate=_estimate(config),
        weak=(semi.share if semi else 0.0) if without_labels else None,
    )


def _estimate(config: Config) -> EstimateMotion | None:
    """The configured flow network with its cache, where the flow is to be cached."""
    if config.flow is None or not config.flow.cached:
        return None
    network = optical_flow.build(config.flow.kind, config.flow.weights)
    cache = default_cache(config.flow.cache, config.flow.cache_gigabytes)
    return lambda a, b: cache.both(network, a, b)


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


def _imported(name: str, where: str) -> Callable[..., Any]:
    try:
        return imported(name)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _call(maker: Callable[..., Any], options: dict[str, Any], where: str) -> Any:
    try:
        inspect.signature(maker).bind(**options)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ValueError:  # a builtin, which does not say what it takes
        pass
    return maker(**options)
