"""`evaluate` and `consistency`: numbers for networks, and for the predictions of any tool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from temporalkd.cli.commands.systems import device, load_system, name_of, require_maps
from temporalkd.config import Config, ConfigError, build
from temporalkd.console import progress, say
from temporalkd.data.clip import IGNORE
from temporalkd.data.image_folder import FrameFolder, MapFolder, open_frames
from temporalkd.evaluation import Row, folder_of_maps, network
from temporalkd.evaluation import evaluate as score
from temporalkd.experiments.run_directory import load_run
from temporalkd.experiments.scoring import Scorer


def evaluate(
    run: Path,
    data: Config | None,
    protocols: Sequence[str],
    flows: Sequence[str],
    overrides: Sequence[str] = (),
    ema: float | None = None,
) -> list[Row]:
    """Score the student of a run folder or checkpoint on a config's data.val.

    Without one it is the run's own config, with `overrides`.
    """
    segmenter, spec = load_system(run)
    if data is None:
        if not run.is_dir():
            raise ConfigError(
                f"{run} is a checkpoint, not a run folder: name a config with --data, its data.val is used"
            )
        data, _, _ = load_run(run, overrides)
    scorer = Scorer(data, device(), flows, segmenter.classes)
    scorer.protocols = protocols
    if scorer.footage is not None:
        build.same_classes(str(run), spec.class_names, scorer.footage.class_names, "data.val")
    with progress("evaluate") as tick:
        return scorer.rows({name_of(run): network(segmenter)}, ema=ema, progress=tick)


def consistency(
    frames: Path,
    maps: MapFolder,
    labels: Path | None,
    void: int,
    protocols: Sequence[str],
    flows: Sequence[str],
    weights: str | None = None,
) -> list[Row]:
    """Score a folder of class maps of any tool."""
    source = open_frames(frames)
    if labels is not None:
        if not isinstance(source, FrameFolder):
            raise ValueError(f"{frames} is a video: labels need a folder of images with the same names")
        source = FrameFolder(frames, labels, classes=maps.classes, void=void, palette=maps.palette)
    require_maps(maps, source, frames)
    if len(source) < 2:
        raise ValueError(f"{frames} has {len(source)} frame(s): consistency needs two or more")
    estimators = build.flows(flows, device(), weights)
    classes = maps.classes or (len(maps.palette) if maps.palette else None)
    if classes is None:
        truths = (label for i in source.labelled if (label := source.label(i)) is not None)
        told, true = max(map(_largest, maps)), max(map(_largest, truths), default=0)
        if true > told:
            say(f"{labels} has class {true}, which no prediction has: where it is no class, say --void {true}")
        classes = 1 + max(told, true)
    systems = {name_of(maps.folder): folder_of_maps(maps)}
    with progress("consistency") as tick:
        return score([source], systems, classes, estimators, protocols, build.default_cache(), progress=tick)


def _largest(labels: Tensor) -> int:
    known = labels[labels != IGNORE]
    return int(known.max()) if known.numel() else 0
