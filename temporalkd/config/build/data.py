"""Footage and clips from the data section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from temporalkd.config import Config, ConfigError
from temporalkd.config.build.motion import cached_estimate
from temporalkd.data.clip import Augment
from temporalkd.data.footage import DatasetOptions, Footage, Setting, mixed
from temporalkd.data.mix import Mix
from temporalkd.data.prediction_store import Targets
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.semi import hide_labels
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName
from temporalkd.models import ModelSpec, is_source, read_spec
from temporalkd.paths import find


def footage(
    section: DatasetOptions,
    root: str | None,
    seed: int,
    labelled: bool = True,
    decoder: DecoderName = "pyav",
    objects: float = 0.0,
) -> Footage:
    """The footage that a dataset section names; what is not to be `labelled` needs no labels on disk."""
    return section.open(Setting(root, seed, labelled, decoder, objects))


def training_footage(config: Config) -> Footage:
    """data.train, with the labels hidden that data.semi hides."""
    section, semi = config.data, config.data.semi
    if semi is not None and section.moving_objects:
        raise ConfigError("data.moving_objects: cuts objects out by labels, which data.semi hides: leave one out")
    data = footage(section.train, section.root, config.seed, decoder=section.decoder, objects=section.moving_objects)
    if not data.class_names and (spec := _taught(config)) is not None:
        data = replace(data, class_names=spec.class_names, palette=spec.palette)
    if semi is None:
        return data
    estimate = cached_estimate(config) if semi.weak == "flow" else None
    sources = hide_labels(data.sources, semi.labelled, semi.weak, semi.share, semi.margin, semi.seed, estimate)
    return replace(data, sources=sources)


def sampler(config: Config, data: Footage, without_labels: bool = False, targets: Targets | None = None) -> ClipSampler:
    """Clips of the configured length and geometry.

    Args:
        without_labels: frames whose labels are hidden are drawn too, as the method learns from them.
        targets: a teacher's predictions, which the clips carry.
    """
    section, semi = config.data, config.data.semi
    unlabelled: Sequence[Source] = ()
    if section.unlabelled:
        found = footage(section.unlabelled, section.root, config.seed, labelled=False, decoder=section.decoder)
        unlabelled = found.sources
    without_labels = without_labels or (semi is not None and semi.unlabelled)
    if without_labels and not unlabelled and not any(source.withheld for source in data.sources):
        remedy = f"data.semi.labelled is {semi.labelled}, lower it" if semi else "set data.semi or data.unlabelled"
        raise ConfigError(f"method {config.method.name} needs frames without labels, and the data has none: {remedy}")
    estimate = cached_estimate(config)
    labelled: Sequence[Source] = [source for source in data.sources if source.labelled or source.withheld]
    if not labelled:
        if config.teacher is None:
            raise ConfigError("data.train: no frame has labels, and there is no teacher to learn from: set teacher")
        labelled, unlabelled = [], [*data.sources, *unlabelled]
    if section.unlabelled_share is not None and not (labelled and (unlabelled or without_labels)):
        raise ConfigError(
            "data.unlabelled_share: needs frames with labels and frames without: set data.unlabelled or data.semi"
        )
    unlike = section.frames > 1 and estimate is None and mixed([*labelled, *unlabelled])
    if unlike:
        estimate = cached_estimate(config, True)
    return ClipSampler(
        labelled,
        section.frames,
        section.gaps,
        config.seed,
        unlabelled=unlabelled,
        augment=Augment(section.crop, section.scale, section.flip),
        motion=section.frames > 1 and not (unlike and estimate is None),
        estimate=estimate,
        weak=(semi.share if semi else 0.0) if without_labels else None,
        targets=targets,
        share=section.unlabelled_share,
        mix=Mix(section.mix.kind, section.mix.share) if section.mix else None,
    )


def _taught(config: Config) -> ModelSpec | None:
    """What the json beside the teacher's weights says: the classes where the data names none."""
    weights = config.teacher.weights if config.teacher else None
    spec_file = find(weights, "weights").with_suffix(".json") if weights and not is_source(weights) else None
    return read_spec(spec_file) if spec_file and spec_file.is_file() else None
