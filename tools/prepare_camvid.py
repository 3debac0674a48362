"""CamVid's original release in the layout that `camvid` reads: `python tools/prepare_camvid.py RELEASE ROOT --help`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli import main
from temporalkd.console import progress
from temporalkd.data.camvid_neighbours import add_neighbours, find_videos
from temporalkd.data.camvid_release import SPLITS, convert, splits_of, stills_of


def prepare_camvid(
    release: Annotated[Path, typer.Argument(help="Holds 701_StillsRaw_full and LabeledApproved_full.")],
    root: Annotated[Path, typer.Argument(help="Where train, trainannot, val, ... and sequences are made.")],
    size: Annotated[str | None, typer.Option(help="Width x height, e.g. 480x360; without it as released.")] = None,
    videos: Annotated[Path | None, typer.Option(help="CamVid's videos: stills get their real neighbours.")] = None,
    around: Annotated[int, typer.Option(min=1, help="Frames before and after each still.")] = 3,
    splits: Annotated[Path | None, typer.Option(help="A folder with train.txt, val.txt and test.txt.")] = None,
    like: Annotated[Path | None, typer.Option(help="Another copy, whose folders give the splits.")] = None,
) -> None:
    """Index labels of 11 classes, the SegNet tutorial's splits, and frames of the videos around the stills."""
    wanted = _size(size)
    chosen = splits_of(list(stills_of(release)), splits, like)
    found = find_videos(videos) if videos is not None else {}
    with progress("stills") as tick:
        written = convert(release, root, chosen, wanted, tick)
    counts = Counter(chosen.values())
    print(f"{', '.join(f'{counts[split]} {split}' for split in SPLITS)}; {written} written to {root}")
    stills = [stem for stem, split in chosen.items() if split != "val"]
    for sequence, path in found.items():
        with progress(sequence) as tick:
            (alignment,) = add_neighbours(release, root, stills, {sequence: path}, wanted, around, tick)
        print(alignment)


def _size(text: str | None) -> tuple[int, int] | None:
    """(H, W) of WIDTHxHEIGHT."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise typer.BadParameter(f"expected WIDTHxHEIGHT like 480x360, got '{text}'", param_hint="--size")
    return int(match[2]), int(match[1])


if __name__ == "__main__":
    main(lambda: typer.run(prepare_camvid))
