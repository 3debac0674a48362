"""Compute the flow of every pair of a clip once and keep it: `python tools/cache_flow.py FRAMES`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

import flow
from temporalkd.cli import main
from temporalkd.cli.work.systems import device
from temporalkd.config.build import default_cache
from temporalkd.console import progress
from temporalkd.data.image_folder import open_frames


def cache_flow(frames: Path, kind: str = "raft_small", weights: str | None = None, cache: str | None = None) -> None:
    """Fill the flow cache for consecutive frames of a folder or video, both directions."""
    source, store = open_frames(frames), default_cache(cache)
    estimator = flow.build(kind, weights).to(device())
    images = (frame[None].float() / 255 for frame in source.frames())
    with progress("flow") as tick:
        for done, _ in enumerate(store.video(estimator, images), start=1):
            tick(done, len(source) - 1)
    print(f"{store.misses} fields computed, {store.hits} found, in {store.folder}", file=sys.stderr)
    if store.store.unwritten:
        raise OSError(f"{store.folder}: {store.store.unwritten} of them could not be kept there, see above")


if __name__ == "__main__":
    main(lambda: typer.run(cache_flow))
