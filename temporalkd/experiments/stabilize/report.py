"""What is left beside the steady weights: a table, the flicker video, the maps of a mended recording."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flow import FlowCache, FlowEstimator
from flow.files import write_whole
from temporalkd.console import progress
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.label_maps import write_map
from temporalkd.data.selection import resized
from temporalkd.data.source import Source
from temporalkd.models import Segmenter
from temporalkd.visualization import default_palette, render_flicker

HEADINGS = {
    "consistency": "consistency",
    "flip_rate": "flips",
    "flip_interior": "interior flips",
    "flip_boundary": "boundary flips",
    "agreement": "agreement with the original",
    "boundary_iou_with_original": "boundary IoU with the original",
    "miou": "mIoU",
    "boundary_iou": "boundary IoU",
    "vc8": "VC8",
    "vc16": "VC16",
    "boundary_pixels": "boundary pixels",
    "small_regions": "small regions a frame",
}


def lines(found: Mapping[str, Mapping[str, Any]], class_names: Sequence[str] = ()) -> list[str]:
    """A markdown table, one line a number and one column a system; then the share of each class."""
    systems = list(found)
    keys = [key for key in found[systems[0]] if key != "class_shares"]
    rows = [[_heading(key), *(_number(found[name].get(key)) for name in systems)] for key in keys]
    shares = [found[name]["class_shares"] for name in systems]
    names = class_names or [f"class {i}" for i in range(len(shares[0]))]
    rows += [[f"pixels of {name}", *map(_number, values)] for name, *values in zip(names, *shares) if any(values)]
    return [
        f"| percent | {' | '.join(systems)} |",
        f"|---|{'---|' * len(systems)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def write(folder: Path, told: Sequence[str], found: Mapping[str, Any], class_names: Sequence[str]) -> None:
    """report.md and results.json."""
    text = "\n".join(["# Before and after", "", *told, "", *lines(found, class_names), ""])
    write_whole(folder / "report.md", text.encode())
    write_whole(folder / "results.json", (json.dumps(found, indent=1) + "\n").encode())


def video(
    folder: Path,
    source: Source,
    maps: Mapping[str, Sequence[Tensor]],
    estimator: FlowEstimator,
    cache: FlowCache,
    palette: Any,
    class_names: Sequence[str],
) -> None:
    """flicker.mp4: systems side by side, the pixels that flip in red."""
    classes = len(class_names)

    class Kept:
        def video(self, frames: Any) -> Any:
            return cache.video(estimator, frames)

    with progress("render") as tick:
        render_flicker(
            source.frames(),
            dict(maps),
            folder / "flicker.mp4",
            flow=Kept(),
            palette=torch.as_tensor(palette, dtype=torch.uint8) if palette else default_palette(classes),
            classes=list(class_names),
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
            small = resized(frame, longest)[None].to(segmenter.mean.device).float() / 255
            logits = F.interpolate(segmenter(small).logits, frame.shape[1:], mode="bilinear", align_corners=False)
            write_map(folder / f"{stems[index]}.png", logits[0].argmax(0).byte().cpu())
            tick(index + 1, len(source))
    return len(stems)


def _heading(key: str) -> str:
    name, _, flow = key.partition("_") if key.startswith("consistency_") else (key, "", "")
    return f"consistency ({flow})" if flow else HEADINGS.get(name, name)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
