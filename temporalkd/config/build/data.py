"""Footage and clips from the data section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from temporalkd.config.build.motion import cached_estimate
from temporalkd.config import Config, ConfigError
from temporalkd.data.augment import Augment
from temporalkd.data.footage import DatasetOptions, Footage, Setting
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.prediction_store import Targets
from temporalkd.data.semi import hide_labels
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName


def footage(
    section: DatasetOptions, root: str | None, seed: int, labelled: bool = True, decoder: DecoderName = "pyav"
) -> Footage:
    """The footage that a dataset section names; what is not to be `labelled` needs no labels on disk."""
    return section.open(Setting(root, seed, labelled, decoder))


def training_footage(config: Config) -> Footage:
    """data.train, with the labels hidden that data.semi hides."""
    section, semi = config.data, config.data.semi
    data = footage(section.train, section.root, config.seed, decoder=section.decoder)
    if semi is None:
        return data
    estimate = cached_estimate(config) if semi.weak == "flow" else None
    sources = hide_labels(data.sources, semi.labelled, semi.weak, semi.share, semi.margin, semi.seed, estimate)
    return replace(data, sources=sources)


def sampler(
    config: Config, data: Footage, without_labels: bool = False, targets: Targets | None = None
) -> ClipSampler:
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
    return ClipSampler(
        data.sources,
        section.frames,
        section.gaps,
        config.seed,
        unlabelled=unlabelled,
        augment=Augment(section.crop, section.scale, section.flip),
        motion=section.frames > 1,
        estimate=cached_estimate(config),
        weak=(semi.share if semi else 0.0) if without_labels else None,
        targets=targets,
    )
