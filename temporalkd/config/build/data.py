"""Footage and clips from the data section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from temporalkd.config.build.calls import call, named
from temporalkd.config.build.motion import cached_estimate
from temporalkd.config import Config, ConfigError, datasets
from temporalkd.data import camvid, cityscapes, voc, vspw
from temporalkd.data.augment import Augment
from temporalkd.data.footage import Footage, folder, street, video
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.semi import hide_labels
from temporalkd.data.source import Source
from temporalkd.data.video import DecoderName
from temporalkd.paths import find


def footage(section: Any, root: str | None, seed: int, labelled: bool = True, decoder: DecoderName = "pyav") -> Footage:
    """The footage that a dataset section names; what is not to be `labelled` needs no labels on disk."""

    def at(path: str) -> Path:
        if root is not None:
            return Path(root) / path
        try:
            return find(path, "data")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"data: {section.dataset}: {error}") from None

    def place(layout: str) -> Path:
        given = section.root or root
        try:
            return Path(given).expanduser() if given else find(section.dataset, "data")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"data: {section.dataset}: {error}; {layout}") from None

    match section:
        case datasets.CamVid():
            return camvid.camvid(place(camvid.LAYOUT), section.split, section.synthetic_motion, seed)
        case datasets.Folder():
            return folder(
                at(section.images),
                at(section.labels) if section.labels else None,
                section.class_names,
                section.void,
                section.synthetic_motion,
                section.fps,
                seed,
            )
        case datasets.Video():
            return video(at(section.path), decoder)
        case datasets.Cityscapes():
            where = place(cityscapes.LAYOUT)
            return cityscapes.cityscapes(where, section.split, section.coarse, section.synthetic_motion, seed, labelled)
        case datasets.VSPW():
            return vspw.vspw(place(vspw.LAYOUT), section.split, labelled)
        case datasets.VOC():
            return voc.voc(place(voc.LAYOUT), section.split, section.synthetic_motion, seed, labelled)
        case datasets.Street():
            return street(section.count, section.seed, section.length, section.size)
    made = call(named(section.name, "data"), section.options, f"data: {section.name}")
    if not isinstance(made, Footage):
        raise ConfigError(f"data: {section.name} must return a Footage, it returned {type(made).__name__}")
    return made


def training_footage(config: Config) -> Footage:
    """data.train, with the labels hidden that data.semi hides."""
    section, semi = config.data, config.data.semi
    data = footage(section.train, section.root, config.seed, decoder=section.decoder)
    if semi is None:
        return data
    estimate = cached_estimate(config) if semi.weak == "flow" else None
    sources = hide_labels(data.sources, semi.labelled, semi.weak, semi.share, semi.margin, semi.seed, estimate)
    return replace(data, sources=sources)


def sampler(config: Config, data: Footage, without_labels: bool = False) -> ClipSampler:
    """Clips of the configured length and geometry.

    Args:
        without_labels: frames whose labels are hidden are drawn too, as the method learns from them.
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
    )
