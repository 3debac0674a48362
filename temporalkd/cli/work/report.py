"""`report`: several runs scored on the same footage, and one page that shows what their numbers mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from flow.files import write_whole
from temporalkd import __version__
from temporalkd.cli.work.systems import System, class_count, device, first_data, on_frames, open_systems
from temporalkd.config import Config, load
from temporalkd.console import progress
from temporalkd.evaluation import Predictor, Row, averaged, frames_with_motion, memoize
from temporalkd.experiments.scoring import Scorer
from temporalkd.metrics import FramePair
from temporalkd.models import Cost, cost
from temporalkd.paths import read_json
from temporalkd.visualization.overlay import default_palette
from temporalkd.visualization.report import Report, Video, mosaic, render_page, require_jinja
from temporalkd.visualization.scored_report import COLUMNS, CURVES, Shown, Tape, entry


def report(
    systems: Sequence[str],
    out: Path,
    data: Config | None = None,
    overrides: Sequence[str] = (),
    protocol: str = "visible",
    flow: str | None = None,
    ema: float | None = None,
    frames: Path | None = None,
    labels: Path | None = None,
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
    if frames is not None:
        data = on_frames(frames, labels, class_count(opened))
    data = data or first_data(opened, overrides)
    classes = {name: system.classes for name, system in opened.items() if system.classes is not None}
    if len(set(classes.values())) > 1:
        raise ValueError(f"the runs have different classes: {', '.join(f'{n} {c}' for n, c in classes.items())}")
    scorer = Scorer(data, device(), [flow] if flow else (), next(iter(classes.values()), None) or class_count(opened))
    scorer.protocols = [protocol]
    for system in opened.values():
        system.require(scorer.footage.sources if scorer.footage is not None else [])
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
    systems: dict[str, Predictor] = {name: memoize(system.predictor()) for name, system in opened.items()}
    if ema is not None:
        systems |= {f"{name} EMA {ema:g}": averaged(system, ema) for name, system in list(systems.items())}
    return {name: Tape(system, folder / str(i)) for i, (name, system) in enumerate(systems.items())}


def _contents(
    opened: Mapping[str, System],
    scorer: Scorer,
    rows: Sequence[Row],
    tapes: Mapping[str, Tape],
    video: Path,
) -> Report:
    assert scorer.footage is not None
    sources = scorer.footage.sources
    shown = Shown.of(sources, next(iter(tapes.values())).sizes)
    height, width = next(iter(tapes.values())).sizes[id(sources[0])]
    folders = {name: system.path for name, system in opened.items()}
    networks = {name: system.segmenter for name, system in opened.items() if system.segmenter is not None}
    costs: dict[str, Cost] = {name: cost(segmenter, (height, width)) for name, segmenter in networks.items()}
    colours = torch.tensor(scorer.footage.palette, dtype=torch.uint8)
    if not len(colours):
        colours = default_palette(scorer.classes)
    frames = list(shown.frames())
    with progress("draw") as tick:
        film = _film(scorer, shown, tapes, colours, video, lambda done: tick(done, 2 * len(frames)))
    systems = [
        replace(
            entry(row, rows[0], shown, tapes.get(row.system), costs.get(row.system), colours),
            config=_config(folders.get(row.system)),
            environment=_environment(folders.get(row.system)),
        )
        for row in rows
    ]
    teachers = _teachers(folders)
    systems = [replace(system, kind="teacher") if system.name in teachers else system for system in systems]
    first = rows[0]
    left_out = len(sources) - sum(shown.kept)
    return Report(
        title=" · ".join(folders) if len(folders) < 4 else f"{len(folders)} runs",
        caption="Accuracy and temporal consistency on the same frames, labels and motion.",
        facts={
            "protocol": first.protocol,
            "flow": first.fingerprint or first.flow,
            "size": first.size,
            "frames": str(first.frames),
            "coverage": "-" if first["coverage"] is None else f"{first['coverage']:.1f} %",
            "threads": f"{torch.get_num_threads()} on {device().type}",
            "temporalkd": __version__,
        },
        class_names=scorer.footage.class_names or [str(c) for c in range(scorer.classes)],
        class_colours=colours.tolist(),
        fps=sources[0].fps,
        frame_names=[Path(s.describe(i)).name for s, i in frames],
        systems=systems,
        columns=COLUMNS,
        curves=CURVES,
        video=film,
        scatter=("miou", "consistency") if first["miou"] is not None else None,
        notes=[f"{left_out} scenes of another size are in the table, not on the time axis."] if left_out else [],
    )


def _film(
    scorer: Scorer, shown: Shown, tapes: Mapping[str, Tape], colours: Tensor, out: Path, tick: Callable[[int], None]
) -> Video:
    """What flips where, then the mosaic of all systems."""
    done = 0
    for source, kept in zip(shown.sources, shown.kept):
        for frame, motions in frames_with_motion(source, scorer.flows, scorer.cache) if kept else ():
            for motion in motions.values():  # none before the first frame
                pair = FramePair(motion.flow, motion.seen, source.label(frame.index - 1), frame.label)
                for tape in tapes.values():
                    tape.keep_flips(source, frame.index - 1, pair)
            done += 1
            tick(done)
    made = mosaic(
        (source.frame(index) for source, index in shown.frames()),
        {name: tape.maps(shown.frames()) for name, tape in tapes.items()},
        {name: tape.all_flips(shown.frames()) for name, tape in tapes.items()},
        colours,
        out,
        shown.sources[0].fps,
        progress=lambda count: tick(done + count),
    )
    return Video(out.read_bytes(), made.layout.tiles, made.frames)


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
