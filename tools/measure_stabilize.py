"""Measure `stabilize` beside its alternatives: `python tools/measure_stabilize.py --help`.

The first share of a labelled clip is used without its labels, the rest is scored. Each call adds its rows to the json
and prints the table of all that it holds.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

import flow as optical_flow
from temporalkd.cli import main
from temporalkd.cli.work.systems import device
from temporalkd.config.build import default_cache
from temporalkd.console import progress
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.selection import Part
from temporalkd.data.source import Frame, Source
from temporalkd.data.street import Street
from temporalkd.evaluation import FramePrediction, Predictor, averaged, evaluate, network
from temporalkd.experiments.api import load
from temporalkd.experiments.stabilize import stabilize
from temporalkd.experiments.stabilize.before_after import accuracy
from temporalkd.experiments.stabilize.judge import on_one_list, unlabelled
from temporalkd.experiments.stabilize.verdict import HALF, mixed
from temporalkd.models import MultiView, Segmenter, freeze
from temporalkd.paths import write_json

SINGLE: dict[str, Any] = {"flip": False, "scales": (1.0,)}
TRAINED: dict[str, dict[str, Any]] = {
    "stabilized": {},
    "self-distillation without views": SINGLE,
    "views and flow": {"flow_passes": 2},
    "flow without views": SINGLE | {"flow_passes": 2},
    "motion consistency alone": SINGLE | {"kl": 0.0, "motion": 1.0},
    "views and motion consistency": {"motion": 0.3},
    "without noise": {"disturbance": 0.0},
    "with all disturbance": {"disturbance": 1.0},
    "with jitter": {"jitter": 0.2},
}
"""Row -> what differs from the defaults of `stabilize`."""
ROWS = ("original", "views at inference", "EMA 0.8", "median of 3", "TENT", "mix 0.75", "new weights alone", *TRAINED)
LAG = {"EMA 0.8": "4 frames", "median of 3": "1 frame"}
COST = {"views at inference": "6 x"}
COLUMNS = ("miou", "boundary_iou", "consistency", "consistency_dis", "flip_rate", "flip_interior", "vc8", "vc16")
HEADINGS = ("mIoU", "boundary IoU", "consistency", "by DIS", "flips", "interior flips", "VC8", "VC16", "elsewhere")


@dataclass
class Setting:
    """What rows are made from: the network, the frames that may be used, and how long."""

    original: Segmenter
    footage: Source
    steps: int
    lr: float
    seed: int
    keep: list[str]
    folder: Path
    teacher: str | None = None


def trained(setting: Setting, name: str) -> Segmenter:
    """The network of a row of `stabilize`."""
    return stabilize(
        setting.original,
        setting.footage,
        out=setting.folder / f"{name.replace(' ', '-')}-{setting.seed}",
        film=False,
        keep=setting.keep,
        teacher=setting.teacher,
        resume=True,
        steps=setting.steps,
        lr=setting.lr,
        seed=setting.seed,
        mix=HALF,
        **TRAINED[name],
    ).network


def tent(setting: Setting) -> Predictor:
    """Entropy minimisation over the scales and offsets of BatchNorm, on batches of 4 frames. Wang et al., ICLR 2021."""
    adapted = setting.original.clone()
    freeze(adapted)
    norms = [module for module in adapted.modules() if isinstance(module, nn.BatchNorm2d)]
    parameters = [p.requires_grad_(True) for norm in norms for p in (norm.weight, norm.bias)]
    for norm in norms:
        norm.train()
    optimiser = torch.optim.Adam(parameters, 1e-3)
    generator = torch.Generator().manual_seed(setting.seed)
    with progress("TENT") as tick:
        for step in range(setting.steps):
            chosen = torch.randperm(len(setting.footage), generator=generator)[:4].tolist()
            frames = torch.stack([setting.footage.frame(i) for i in chosen]).to(adapted.device).float() / 255
            log_probs = adapted(frames).native.log_softmax(1)
            optimiser.zero_grad()
            (-(log_probs.exp() * log_probs).sum(1).mean()).backward()
            optimiser.step()
            tick(step + 1, setting.steps)
    return network(freeze(adapted))  # type: ignore[arg-type]


def median(system: Predictor) -> Predictor:
    """Each pixel's most frequent class of the last three maps; the current one where all differ."""
    last: deque[torch.Tensor] = deque(maxlen=3)

    def predict(frame: Frame) -> FramePrediction:
        if frame.index == 0:
            last.clear()
        last.append(system(frame).map)
        if len(last) < 3:
            return FramePrediction(last[-1])
        first, second, now = last
        return FramePrediction(torch.where(first == second, first, now))

    return predict


def predictor(setting: Setting, name: str) -> Predictor:
    """The system of a row."""
    plain = network(setting.original)
    known: dict[str, Callable[[], Predictor]] = {
        "original": lambda: plain,
        "views at inference": lambda: network(MultiView(setting.original)),
        "EMA 0.8": lambda: averaged(plain, 0.8),
        "median of 3": lambda: median(plain),
        "TENT": lambda: tent(setting),
        # The result is half of the new weights: 1.5 times and twice the way from the original's.
        "mix 0.75": lambda: network(mixed(setting.original, trained(setting, "stabilized"), 1.5)),
        "new weights alone": lambda: network(mixed(setting.original, trained(setting, "stabilized"), 2.0)),
    }
    return known[name]() if name in known else network(trained(setting, name))


def measure(
    model: Path,
    out: Annotated[Path, typer.Option("-o", help="The json; results of earlier calls are kept.")],
    frames: Path | None = None,
    labels: Path | None = None,
    void: int = 11,
    street: Annotated[int | None, typer.Option(help="Instead of frames: a synthetic street, exact flow.")] = None,
    share: Annotated[float, typer.Option(help="Of the clip that is used, from its start.")] = 0.5,
    rows: Annotated[str, typer.Option(help=f"Separated by commas: {'; '.join(ROWS)}; or all.")] = "all",
    steps: int = 400,
    lr: float = 2e-4,
    seed: int = 0,
    teacher: Annotated[str | None, typer.Option(help="A larger network whose views teach too.")] = None,
    keep: list[str] = [],
    elsewhere: Annotated[str | None, typer.Option(metavar="FRAMES:LABELS", help="Stills of other scenes.")] = None,
) -> None:
    """Score rows on the part of a labelled clip that is not used."""
    original = load(model).to(device())
    freeze(original)
    clip: Source
    if street is not None:
        clip = Street(street, 60, (192, 320))
    elif frames is not None and labels is not None:
        clip = FrameFolder(frames, labels, classes=original.classes, void=void, fps=15)
    else:
        raise ValueError("--frames and --labels, or --street: missing, there is nothing to measure on")
    used = round(share * len(clip))
    scored = Part(clip, range(used, len(clip)), labels=True)
    kinds = ["exact"] if street is not None else ["raft_small", "dis"]
    flows = {kind: None if kind == "exact" else optical_flow.build(kind).to(device()) for kind in kinds}
    others = None
    if elsewhere is not None:
        images, _, maps = elsewhere.partition(":")
        others = FrameFolder(Path(images), Path(maps), classes=original.classes, void=void, partial=True)
    folder = (
        out.with_suffix(".runs")
        / f"{Path(model).stem}-{share:g}-{steps}{'-keep' if keep else ''}{'-taught' if teacher else ''}"
    )
    setting = Setting(original, unlabelled(Part(clip, range(used))), steps, lr, seed, keep, folder, teacher)
    for name in ROWS if rows == "all" else [row.strip() for row in rows.split(",")]:
        if name not in ROWS:
            raise ValueError(f"--rows: {name!r}, expected some of: {', '.join(ROWS)}")
        started = time.monotonic()
        system = predictor(setting, name)
        seconds = time.monotonic() - started
        with progress(name) as tick:
            found = evaluate(
                [scored],
                {"original": network(original), name: system},
                original.classes,
                flows,
                cache=default_cache(),
                references=False,
                progress=tick,
            )
        for row in (row for row in found if row.system == "original"):  # one list of classes for all rows
            on_one_list([other for other in found if other.flow == row.flow], row)
        first, last = found[0 if name == "original" else 1], found[-1]
        numbers: dict[str, Any] = {key: first[key] for key in COLUMNS if key != "consistency_dis"}
        numbers |= {"consistency_dis": last["consistency"], "seconds": seconds, "iou": first.per_class["iou"]}
        if others is not None:
            numbers["elsewhere"] = accuracy(system, [others], original.classes)
        key = {"model": str(model), "share": share, "steps": steps, "lr": lr, "seed": seed, "keep": keep, "row": name}
        key["teacher"] = teacher
        key |= {"clip": f"street {street}" if street is not None else str(frames)}
        _add(out, key | numbers)
    print("\n".join(table(json.loads(out.read_text())["results"])))


def table(results: list[dict[str, Any]]) -> list[str]:
    """A markdown table of all results; the mean over seeds and clips of a row."""
    lines = [f"| model | used | row | n | {' | '.join(HEADINGS)} | lag | cost |", f"|---|---|---|---|{'---|' * 11}"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        kind = (
            Path(result["model"]).stem,
            result["share"],
            result["steps"],
            bool(result["keep"]),
            bool(result.get("teacher")),
            result["row"],
        )
        groups.setdefault(kind, []).append(result)
    for (model, share, steps, kept, taught, row), found in groups.items():
        cells = []
        for column in (*COLUMNS, "elsewhere"):
            values = [result[column] for result in found if result.get(column) is not None]
            cells.append(f"{sum(values) / len(values):.2f}" if values else "-")
        learns = row in (*TRAINED, "TENT", "new weights alone")
        parts = [row, "keep" if kept else "", "larger teacher" if taught else "", f"{steps} steps" if learns else ""]
        name = ", ".join(filter(None, parts))
        ends = f"{LAG.get(row, '0')} | {COST.get(row, '1 x')}"
        lines.append(f"| {model} | {100 * share:g} % | {name} | {len(found)} | {' | '.join(cells)} | {ends} |")
    return lines


def _add(path: Path, result: dict[str, Any]) -> None:
    """Put a result in the place of one with the same settings, or behind the others."""
    same = ("model", "share", "steps", "lr", "seed", "keep", "row", "clip", "teacher")
    results = json.loads(path.read_text())["results"] if path.is_file() else []
    results = [r for r in results if any(r.get(key) != result[key] for key in same)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"results": [*results, result]})
    print(f"{result['row']}: {result['miou']} mIoU, {result['consistency']} consistency", file=sys.stderr)


if __name__ == "__main__":
    main(lambda: typer.run(measure))
