"""Students and teachers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from flow.store import Store
from temporalkd import losses
from temporalkd.config.build.motion import GIGABYTES, cache_folder
from temporalkd.config import Config, ConfigError, schema
from temporalkd.data.clip import IGNORE
from temporalkd.data.footage import Footage
from temporalkd.models import (
    CachedTeacher,
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
from temporalkd.paths import read_json
from temporalkd.paths import find


def model(section: schema.Model, where: str, data: Footage | None) -> tuple[Segmenter, ModelSpec]:
    """The network of a model section, with its weights; `data` says how many classes an untrained one gets."""
    if section.weights and section.architecture is None:
        return load_segmenter(_found(section.weights, where))
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
        load_weights(segmenter.network, _found(section.weights, where))
    return segmenter, spec


def _found(weights: str, where: str) -> Path:
    try:
        return find(weights, "weights")
    except FileNotFoundError as error:
        run = Path(weights).parent.name if Path(weights).name == "student.safetensors" else None
        hint = f"; it is what the config named {run!r} trains: train that first, or name other weights" if run else ""
        raise FileNotFoundError(f"{where}.weights: {error}{hint}") from None


def teacher(config: Config, data: Footage) -> Teacher | None:
    """The frozen teacher, of one network or two, if the config names any."""
    sections = {"teacher": config.teacher, "second_teacher": config.second_teacher}
    if config.teacher is None:
        if config.second_teacher is not None:
            raise ConfigError("second_teacher: needs a first one, set teacher")
        return None
    networks = []
    for where, section in sections.items():
        if section is not None:
            if not section.weights:
                raise ConfigError(f"{where}.weights: missing: a teacher needs trained weights")
            networks.append(model(section, where, data)[0])
    if config.second_teacher is None:
        return networks[0]
    second = config.second_teacher
    errors = None
    if second.fusion == "accuracy":
        same = {network.classes for network in networks} == {len(data.class_names)}  # otherwise refused further on
        errors = [label_error(network, data) if same else 0.0 for network in networks]
    return JointTeacher(dict(zip(("first", "second"), networks)), second.fusion, second.temperature, errors)


@torch.no_grad()
def label_error(network: Segmenter, data: Footage, stills: int = 8) -> float:
    """Cross-entropy of a network with the labels, in nats, mean over stills spread evenly over the data."""
    labelled = [(source, index) for source in data.sources for index in source.labelled]
    chosen = labelled[:: max(len(labelled) // stills, 1)][:stills]
    training = network.training
    network.eval()
    found = []
    for source, index in chosen:
        label = source.label(index)
        if label is not None and bool((label != IGNORE).any()):
            logits = network(source.frame(index)[None].to(network.mean.device) / 255).logits
            found.append(float(losses.cross_entropy(logits, label[None].long().to(logits.device))))
    network.train(training)
    if not found:
        raise ConfigError("second_teacher.fusion: accuracy needs labels, and data.train has none: set confidence")
    return sum(found) / len(found)


def asked_in_training(config: Config, teacher: Teacher | None) -> Teacher | None:
    """The teacher with its logits kept on disk, where the config says so.

    Raises:
        ConfigError: augmentation makes frames that will not come again.
    """
    if teacher is None or config.teacher is None or not config.teacher.cached:
        return teacher
    data = config.data
    if data.crop is not None or data.scale != (1.0, 1.0) or data.jitter:
        raise ConfigError(
            f"teacher.cached: frames must come again as they were, and data.crop is {data.crop}, data.scale "
            f"{list(data.scale)}, data.jitter {data.jitter:g}: set null, [1, 1] and 0, or leave teacher.cached out"
        )
    place, gigabytes = (config.flow.cache, config.flow.cache_gigabytes) if config.flow else (None, GIGABYTES)
    store = Store(cache_folder(place) / "teacher", int(gigabytes * 2**30), "teacher cache")
    if isinstance(teacher, JointTeacher):
        plain = {name: network for name, network in teacher.networks.items() if isinstance(network, Segmenter)}
        branches = {name: CachedTeacher(network, store) for name, network in plain.items()}
        return JointTeacher(branches, teacher.fusion, teacher.temperature, teacher.errors)
    return CachedTeacher(teacher, store) if isinstance(teacher, Segmenter) else teacher


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
        found = read_json(card) if card and card.is_file() else {}
        if section and found.get("semi") != known_labels(config)["semi"]:
            yield (
                f"{where}.weights: {section.weights} is not known to have been trained on the labels alone that "
                "data.semi leaves: it may give the hidden ones away"
            )
