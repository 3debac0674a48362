"""What is left beside the steady weights: tables, a page, the flicker video, the maps of a mended recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from flow.atomic import write_whole
from temporalkd.console import progress
from temporalkd.data.footage import Footage
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.label_maps import write_map
from temporalkd.data.selection import resized
from temporalkd.data.source import Source
from temporalkd.experiments.stabilize.before_after import BeforeAfter
from temporalkd.experiments.stabilize.verdict import Verdict
from temporalkd.models import Segmenter
from temporalkd.paths import write_json
from temporalkd.visualization import default_palette, render_flicker
from temporalkd.visualization.report import render_page, require_jinja
from temporalkd.visualization.scored_report import page

HEADINGS = {
    "consistency": "consistency",
    "flip_rate": "flips",
    "flip_interior": "interior flips",
    "flip_boundary": "boundary flips",
    "agreement": "agreement with the original",
    "boundary_iou_with_original": "boundary IoU with the original",
    "miou": "mIoU",
    "miou_labelled": "mIoU (all labelled frames)",
    "boundary_iou": "boundary IoU",
    "vc8": "VC8",
    "vc16": "VC16",
    "boundary_pixels": "boundary pixels",
    "small_regions": "small regions a frame",
}


BEFORE, AFTER, REJECTED = "before", "after", "rejected candidate"
"""Names of the networks in the report."""


def lines(found: Mapping[str, Mapping[str, Any]], class_names: Sequence[str] = ()) -> list[str]:
    """A markdown table, one line a number and one column a system; then the share of each class."""
    systems = list(found)
    keys = [key for key in found[systems[0]] if key != "class_shares"]
    rows = [[_heading(key), *(_number(found[name].get(key)) for name in systems)] for key in keys]
    shares = [found[name]["class_shares"] for name in systems]
    names = class_names or [f"class {i}" for i in range(len(shares[0]))]
    rows += [[f"pixels of {name}", *map(_number, values)] for name, *values in zip(names, *shares) if any(values)]
    return _table(["percent", *systems], rows)


def shares(verdict: Verdict) -> list[str]:
    """What the held-out part said of each share of the new weights, as a markdown table; empty where there is none."""
    keys = ("consistency", "flip_rate", "flip_interior", "agreement")
    rows = [
        [f"{share:g}{' (taken)' if share == verdict.share and verdict.kept else ''}", *(_number(seen[k]) for k in keys)]
        for share, seen in verdict.seen.items()
    ]
    return ["", *_table(["share of the new weights", *map(_heading, keys)], rows), ""] if rows else []


def vanished(found: Mapping[str, Mapping[str, Any]], class_names: Sequence[str]) -> list[str]:
    """A warning for each class that has lost more than half of its pixels."""
    before, after = (numbers["class_shares"] for numbers in found.values())
    return [
        f"Warning: {name} has lost more than half of its pixels: {old:.2g} % of all before, {new:.2g} % after."
        for name, old, new in zip(class_names, before, after)
        if new < old / 2
    ]


def write(folder: Path, told: Sequence[str], comparison: BeforeAfter, film: bool, tell: Callable[[str], None]) -> None:
    """report.md, results.json, report.html and flicker.mp4, the last two as far as they can be made.

    Args:
        told: lines above the table.
        film: False: no video, neither in the page nor beside it.
    """
    found, names = comparison.found, comparison.class_names
    warnings = vanished(found, names)
    for line in warnings:
        tell(line)
    text = "\n".join(["# Before and after", "", *told, *warnings, "", *lines(found, names), ""])
    write_whole(folder / "report.md", text.encode())
    write_json(folder / "results.json", found)
    try:
        require_jinja()
    except ValueError as error:
        tell(f"report.html is left out: {error}")
    else:
        _page(folder / "report.html", [told[0], *warnings], comparison, film)
    if film:
        _video(folder / "flicker.mp4", comparison)


def _page(path: Path, notes: Sequence[str], comparison: BeforeAfter, film: bool) -> None:
    flow, estimator = next(iter(comparison.flows.items()))
    palette = comparison.spec.palette if comparison.spec else ()
    with progress("draw") as tick:
        contents = page(
            [row for row in comparison.rows if row.flow == flow],
            Footage(comparison.shown, tuple(comparison.class_names), palette),
            comparison.tapes,
            {flow: estimator},
            comparison.cache,
            comparison.networks,
            comparison.classes,
            title="Before and after",
            caption="The network as it came and as it was trained, on the same frames and motion.",
            video=comparison.scratch / "page.mp4" if film else None,
            notes=notes,
            progress=tick,
        )
    write_whole(path, render_page(contents).encode())


def _video(path: Path, comparison: BeforeAfter) -> None:
    """Systems side by side on the first of the sources, the pixels that flip in red."""
    source, estimator, cache = comparison.shown[0], next(iter(comparison.flows.values())), comparison.cache
    palette = comparison.spec.palette if comparison.spec else ()

    with progress("render") as tick:
        render_flicker(
            source.frames(),
            {name: maps[: len(source)] for name, maps in comparison.maps.items()},
            path,
            flow=partial(cache.video, estimator),
            palette=torch.tensor(palette, dtype=torch.uint8) if palette else default_palette(comparison.classes),
            classes=comparison.class_names,
            fps=source.fps,
            device=next((p.device for p in estimator.parameters()), torch.device("cpu")),
            progress=lambda done: tick(done, len(source)),
        )


@torch.inference_mode()
def write_maps(segmenter: Segmenter, source: Source, folder: Path, longest: int) -> int:
    """A class map of every frame, at the frame's own size; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = source.stems if isinstance(source, FrameFolder) else [f"{i:06d}" for i in range(len(source))]
    with progress("maps") as tick:
        for index, frame in enumerate(source.frames()):
            small = resized(frame, longest)[None].to(segmenter.device).float() / 255
            logits = F.interpolate(segmenter(small).logits, frame.shape[1:], mode="bilinear", align_corners=False)
            write_map(folder / f"{stems[index]}.png", logits[0].argmax(0).byte().cpu())
            tick(index + 1, len(source))
    return len(stems)


def _heading(key: str) -> str:
    name, _, flow = key.partition("_") if key.startswith("consistency_") else (key, "", "")
    return f"consistency ({flow})" if flow else HEADINGS.get(name, name)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
