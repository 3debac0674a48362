"""What each measure of steadiness says of flicker whose kind and strength are known.

`python tools/study_protocols.py docs/results/protocols-response.json` spoils the labels of synthetic streets (exact
flow) and, where it is at hand, of CamVid's val clip (RAFT), scores them as predictions, writes and prints the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

import flow
from flow.files import write_whole
from temporalkd.cli import main
from temporalkd.config.build import default_cache
from temporalkd.console import progress
from temporalkd.data import camvid
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.selection import Part
from temporalkd.data.source import Frame, Source
from temporalkd.data.street import CLASSES, Street
from temporalkd.evaluation import SHARES, FramePrediction, Predictor, ceiling, evaluate, features
from temporalkd.experiments.api import load
from temporalkd.metrics import PROTOCOLS, near_edge
from temporalkd.paths import find

Map = NDArray[np.uint8]
Truth = Callable[[int], Map]
Spoil = Callable[[Truth, int, int, np.random.Generator], Map]
"""(truth of each frame, number of this one, frames in all, chance) -> the map that a system is to have given."""
FALLING = ("flip_rate", "flip_interior", "boundary_jitter")
COLUMNS = ("miou", *PROTOCOLS, *FALLING, "gated", "right_twice", "vc8", "vec8", "perceptual")


def patches(share: float) -> Spoil:
    """Blocks of 8 x 8 pixels, other ones in each frame, that take a class of the frame, 4 px away from boundaries."""

    def spoil(truth: Truth, t: int, _: int, chance: np.random.Generator) -> Map:
        height, width = truth(t).shape
        grid = height // 8, width // 8
        drawn = (chance.random(grid) < share, chance.choice(np.unique(truth(t)), grid))
        struck, other = (
            cv2.resize(a.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) for a in drawn
        )
        inside = ~near_edge(torch.from_numpy(truth(t)), 4).numpy()
        return np.where(inside & (struck > 0), other, truth(t))

    return spoil


def boundaries(distance: float) -> Spoil:
    """Boundaries displaced by up to so many pixels, in directions that differ smoothly over 32 px, and by frame."""

    def spoil(truth: Truth, t: int, _: int, chance: np.random.Generator) -> Map:
        height, width = truth(t).shape
        angle = chance.uniform(0, 2 * np.pi, (height // 32 + 2, width // 32 + 2)).astype(np.float32)
        dx, dy = (cv2.resize(distance * part, (width, height)) for part in (np.cos(angle), np.sin(angle)))
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        return cv2.remap(truth(t), x + dx, y + dy, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)

    return spoil


def swaps(share: float) -> Spoil:
    """Regions smaller than 1 % of the frame that take another class of the frame, each with this probability."""

    def spoil(truth: Truth, t: int, _: int, chance: np.random.Generator) -> Map:
        map = truth(t)
        out = map.copy()
        for c in np.unique(map):
            count, regions, stats, _ = cv2.connectedComponentsWithStats((map == c).astype(np.uint8))
            for region in range(1, count):
                if stats[region, cv2.CC_STAT_AREA] < 0.01 * map.size and chance.random() < share:
                    out[regions == region] = chance.choice(np.setdiff1d(map, [c]))
        return out

    return spoil


def lag(frames: int) -> Spoil:
    """The truth of so many frames ago."""
    return lambda truth, t, *_: truth(max(t - frames, 0))


def average(decay: float) -> Spoil:
    """The largest moving average of the truth, over 20 frames: a_t = decay a_(t-1) + (1 - decay) p_t."""

    def spoil(truth: Truth, t: int, *_: Any) -> Map:
        past = [truth(t - back) for back in range(min(t, 19) + 1)]
        weights = [(1 - decay) * decay**back for back in range(len(past) - 1)] + [decay ** (len(past) - 1)]
        classes = np.unique(past)
        return classes[np.argmax([sum(w * (map == c) for w, map in zip(weights, past)) for c in classes], 0)]

    return spoil


def blur(deviation: float) -> Spoil:
    """The most common class around each pixel, weighted by a Gaussian."""

    def spoil(truth: Truth, t: int, *_: Any) -> Map:
        classes = np.unique(truth(t))
        around = [cv2.GaussianBlur((truth(t) == c).astype(np.float32), (0, 0), deviation) for c in classes]
        return classes[np.argmax(around, 0)]

    return spoil


def constant(truth: Truth, t: int, length: int, chance: np.random.Generator) -> Map:
    """The most common class of the middle frame, everywhere."""
    return np.full_like(truth(0), np.bincount(truth(length // 2).ravel()).argmax())


SPOILT: dict[str, Spoil] = {
    "labels": lag(0),
    **{f"patches, {share:.0%}": patches(share) for share in (0.01, 0.04)},
    **{f"boundaries by {k} px": boundaries(k) for k in (1, 2, 4)},
    **{f"small regions swapped, {share:.0%}": swaps(share) for share in (0.1, 0.5)},
    **{f"lag of {k}": lag(k) for k in (1, 2, 4)},
    "moving average 0.8": average(0.8),
    **{f"blur of {k} px": blur(k) for k in (2, 4, 8)},
    "frozen in the middle": lambda truth, t, length, _: truth(length // 2),
    "constant": constant,
}


@lru_cache(64)
def true_map(source: Source, t: int) -> Map:
    """The label of a frame; void has the nearest class."""
    return ceiling(Frame(source, t)).map.numpy()


def system(spoil: Spoil, number: int) -> Predictor:
    """What answers with spoilt labels, the same whenever it is asked."""

    def predict(frame: Frame) -> FramePrediction:
        truth, chance = partial(true_map, frame.source), np.random.default_rng([number, frame.index])
        return FramePrediction(torch.from_numpy(spoil(truth, frame.index, len(frame.source), chance)))

    return predict


def response(sources: Sequence[Source], classes: int, estimator: Any, encoder: str) -> dict[str, dict[str, Any]]:
    """Name of what was done to the labels -> key of COLUMNS -> number."""
    systems = {name: system(spoil, number) for number, (name, spoil) in enumerate(SPOILT.items())}
    flows = {estimator.name if estimator else "exact": estimator}
    deep, cache = features(load(encoder), encoder), default_cache()
    with progress("score") as tick:
        rows = evaluate(sources, systems, classes, flows, list(PROTOCOLS), cache, False, progress=tick, features=deep)
    found: dict[str, dict[str, Any]] = {name: {} for name in systems}
    for row in rows:
        found[row.system] |= {key: row[key] for key in COLUMNS if key in SHARES} | {row.protocol: row["consistency"]}
    return {name: {key: numbers[key] for key in COLUMNS} for name, numbers in found.items()}


def bought(found: Mapping[str, Mapping[str, Any]], name: str, key: str) -> bool:
    """Whether spoilt labels score at least as well as the labels do."""
    mine, labels = found[name][key], found["labels"][key]
    return name != "labels" and mine is not None and (mine <= labels if key in FALLING else mine >= labels)


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown; bold: at least as good as the labels."""
    lines = [f"| | {' | '.join(SHARES.get(key, key) for key in COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
    for name, numbers in found.items():
        cells = ["-" if numbers[key] is None else f"{numbers[key]:.1f}" for key in COLUMNS]
        cells = [f"**{cell}**" if bought(found, name, key) else cell for cell, key in zip(cells, COLUMNS)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def study(out: Annotated[Path, typer.Argument(help="The .json.")], frames: int = 31) -> None:
    """Score spoilt labels of streets and of CamVid."""
    streets = [Street(seed, 12, (192, 320)) for seed in (11, 12, 13)]
    results = {"streets, exact flow": response(streets, len(CLASSES), None, "street-teacher")}
    try:
        root = find("camvid", "data")
    except FileNotFoundError as error:
        print(f"streets alone: {error}")
    else:
        clip = FrameFolder(root / "val", root / "valannot", classes=len(camvid.CLASSES), void=camvid.VOID)
        raft = flow.build("raft_small")
        found = response([Part(clip, range(frames), labels=True)], len(camvid.CLASSES), raft, "camvid-plain")
        results["CamVid val, RAFT-small"] = found
    write_whole(out, (json.dumps(results, indent=1) + "\n").encode())
    for footage, found in results.items():
        print(f"\n{footage}\n\n{table(found)}")


if __name__ == "__main__":
    main(lambda: typer.run(study))
