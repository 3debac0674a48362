"""`report`: several runs scored on the same footage, and one page that shows what their numbers mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flow.atomic import write_whole
from temporalkd.cli.work.systems import (
    System,
    class_count,
    device,
    first_data,
    fit,
    open_systems,
    predictors,
    scenes_of,
)
from temporalkd.config import Config, load
from temporalkd.console import progress
from temporalkd.data.footage import Footage
from temporalkd.evaluation import Row
from temporalkd.experiments.scoring import Scorer
from temporalkd.paths import read_json
from temporalkd.visualization.report import Report, render_page, require_jinja
from temporalkd.visualization.scored_report import Tape, page


def report(
    systems: Sequence[str],
    out: Path,
    data: Config | None = None,
    overrides: Sequence[str] = (),
    protocol: str = "visible",
    flow: str | None = None,
    ema: float | None = None,
    frames: Sequence[Path] = (),
    labels: Path | None = None,
    table: str | None = None,
) -> None:
    """Score systems on `frames`, on the data.val of `data` or on that of the first run, and write the page.

    Raises:
        ConfigError: there is nothing to evaluate on.
        ValueError: systems of different classes, or runs that are not trained.
        OSError: `out` cannot be written.
    """
    require_jinja()
    _refuse_unwritable(out)
    opened = open_systems(systems)
    count = class_count(opened)
    footage = Footage(scenes_of(frames, labels, classes=count)) if frames else data or first_data(opened, overrides)
    scorer = Scorer(footage, device(), [flow] if flow else (), [protocol], count if frames else None)
    fit(opened, scorer, table)
    scorer.require(scorer.classes or count)
    with TemporaryDirectory(prefix="temporalkd-") as scratch:
        tapes = _tapes(opened, ema, Path(scratch))
        with progress("evaluate") as tick:
            rows = scorer.rows(dict(tapes), progress=tick)
        contents = _contents(opened, scorer, rows, tapes, Path(scratch) / "video.mp4")
        write_whole(out, render_page(contents).encode())


def _refuse_unwritable(out: Path) -> None:
    """Before the time is spent, not after."""
    if out.is_dir():
        raise IsADirectoryError(f"{out}: a folder, expected the name of an html file")
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{out}: cannot be made, {above} is a file")
    if not os.access(above, os.W_OK):
        raise PermissionError(f"{out}: cannot be made, {above} is not writable")


def _tapes(opened: Mapping[str, System], ema: float | None, folder: Path) -> dict[str, Tape]:
    return {n: Tape(system, folder / str(i)) for i, (n, system) in enumerate(predictors(opened, ema).items())}


def _contents(
    opened: Mapping[str, System],
    scorer: Scorer,
    rows: Sequence[Row],
    tapes: Mapping[str, Tape],
    video: Path,
) -> Report:
    folders = {name: system.path for name, system in opened.items()}
    networks = {name: system.segmenter for name, system in opened.items() if system.segmenter is not None}
    with progress("draw") as tick:
        found = page(
            rows,
            scorer.footage,
            tapes,
            scorer.flows,
            scorer.cache,
            networks,
            scorer.classes,
            title=" · ".join(folders) if len(folders) < 4 else f"{len(folders)} runs",
            caption="Accuracy and temporal consistency on the same frames, labels and motion.",
            video=video,
            averages=[name for name in tapes if name not in opened],
            progress=tick,
        )
    teachers = _teachers(folders)
    systems = [
        replace(
            system,
            kind="teacher" if system.name in teachers else system.kind,
            config=_config(folders.get(system.name)),
            environment=_environment(folders.get(system.name)),
        )
        for system in found.systems
    ]
    return replace(found, systems=systems)


def _teachers(folders: Mapping[str, Path]) -> set[str]:
    """The runs from which another one learned, by the file that its config names."""
    configs = [
        load(folder / "config.yaml", own=False) for folder in folders.values() if (folder / "config.yaml").is_file()
    ]
    sections = [section for config in configs for section in (config.teacher, config.second_teacher)]
    files = {Path(section.weights).resolve() for section in sections if section is not None and section.weights}
    weights = {name: path / "student.safetensors" if path.is_dir() else path for name, path in folders.items()}
    return {name for name, path in weights.items() if path.resolve() in files}


def _config(folder: Path | None) -> str:
    """The run's config as it stands in its folder, empty where there is none; damaged bytes are shown as such."""
    path = folder / "config.yaml" if folder is not None else None
    return path.read_text("utf-8", errors="replace") if path is not None and path.is_file() else ""


def _environment(folder: Path | None) -> dict[str, Any]:
    """What the run was made with, as far as it is known."""
    path = folder / "environment.json" if folder is not None else None
    return read_json(path) if path is not None and path.is_file() else {}
