"""`evaluate` and `consistency`: numbers for systems of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from temporalkd.cli.work.systems import (
    Maps,
    class_count,
    device,
    disturbable,
    first_data,
    fit,
    largest,
    load_system,
    open_systems,
    predictors,
    scenes_of,
)
from temporalkd.config import Config, build
from temporalkd.console import progress, say
from temporalkd.evaluation import Row, features
from temporalkd.evaluation import evaluate as score
from temporalkd.experiments.scoring import Scorer


def evaluate(
    systems: Sequence[str],
    data: Config | None,
    protocols: Sequence[str],
    flows: Sequence[str],
    overrides: Sequence[str] = (),
    ema: float | None = None,
    table: str | None = None,
    disturb: Sequence[str] = (),
    perceptual: str | None = None,
) -> list[Row]:
    """Score systems on a config's data.val; without one it is the first run's own config, with `overrides`.

    Networks whose classes have other names or another order are mapped by name, or by the table given.
    """
    opened = open_systems(systems)
    disturb_each = disturbable(opened, disturb)
    encoder = None if perceptual is None else features(load_system(Path(perceptual))[0], perceptual)
    data = data or first_data(opened, overrides)
    scorer = Scorer(data, device(), flows, protocols)
    fit(opened, scorer, table)
    with progress("evaluate") as tick:
        return scorer.rows(predictors(opened, ema), progress=tick, disturb=disturb_each, features=encoder)


def consistency(
    frames: Sequence[Path],
    systems: Sequence[str],
    maps: Maps,
    labels: Path | None,
    void: Sequence[int],
    protocols: Sequence[str],
    flows: Sequence[str],
    weights: str | None = None,
    label_mapping: Mapping[int, int] | None = None,
    disturb: Sequence[str] = (),
    perceptual: str | None = None,
) -> list[Row]:
    """Score systems on frames, with labels or without."""
    opened = open_systems(systems, maps)
    disturb_each = disturbable(opened, disturb)
    encoder = None if perceptual is None else features(load_system(Path(perceptual))[0], perceptual)
    reading = {"void": void, "palette": maps.palette, "mapping": label_mapping or None}
    sources = scenes_of(frames, labels, classes=maps.classes, **reading)
    known, total = (sum(map(len, each)) for each in ([s.labelled for s in sources], sources))
    if labels is not None and known < total:
        say(f"{known} of {total} frames have labels: accuracy is theirs")
    for system in opened.values():
        system.require(sources)
    if max(map(len, sources)) < 2:
        raise ValueError(f"{frames[0]} has {len(sources[0])} frame(s): consistency needs two or more")
    estimators = build.flows(flows, device(), weights)
    counts = [maps.classes, *(system.classes for system in opened.values())]
    classes = next((c for c in counts if c), None) or (len(maps.palette) if maps.palette else None)
    if classes is None:
        truths = (label for s in sources for i in s.labelled if (label := s.label(i)) is not None)
        told = class_count(opened) - 1
        true = max(map(largest, truths), default=0)
        if known and true == 0:
            say(f"{labels}: no pixel of any class but 0; void is {', '.join(map(str, void))} (--void, --label-mapping)")
        if true > told:
            say(f"{labels} has class {true}, which no prediction has: if it is void, add --void {true}")
        classes = 1 + max(told, true)
    with progress("consistency") as tick:
        return score(
            sources,
            predictors(opened),
            classes,
            estimators,
            protocols,
            build.default_cache(),
            progress=tick,
            disturb=disturb_each,
            features=encoder,
        )
