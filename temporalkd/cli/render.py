"""`render`: systems side by side, in a video that shows what flickers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.options import Colours, Flow, Frames, Resize, Systems, gone, palette_of
from temporalkd.console import say

SYSTEMS_BY_POSITION = "systems stand by position: render SYSTEM... --frames VIDEO -o OUT.mp4, NAME=PATH names one"


@app.command()
def render(
    systems: Systems,
    frames: Frames,
    out: Annotated[Path, typer.Option("-o", "--out", help="The video, .mp4; of several scenes OUT-SCENE.mp4 each.")],
    void: Annotated[
        int, typer.Option(min=0, max=65535, help="Value of unlabelled pixels in class maps, besides 255.")
    ] = 255,
    span: Annotated[
        str,
        typer.Option("--range", metavar="START:END", help="Frames START to END - 1 alone, from 0; both optional."),
    ] = ":",
    palette: Colours = None,
    resize: Resize = False,
    flow: Flow = "raft_small",
    fps: Annotated[float | None, typer.Option(help="Frames per second; default the footage's.")] = None,
    scale: Annotated[
        float | None, typer.Option(help="Enlarge or reduce, 2 or 0.5; default 1, small frames to 400 pixels wide.")
    ] = None,
    old: Annotated[
        list[str],
        typer.Option("--left", "--right", "--panel", "--names", hidden=True, callback=gone(SYSTEMS_BY_POSITION)),
    ] = [],
) -> None:
    """Render systems side by side, pixels that flip along the motion in red, above a heatmap of past flips."""
    from temporalkd.cli.work import render as work

    if len(systems) > work.MAX_SYSTEMS:
        raise typer.BadParameter(f"{len(systems)} systems, of which {work.MAX_SYSTEMS} fit side by side at most")
    if scale is not None and not 0 < scale < float("inf"):
        raise typer.BadParameter(f"--scale {scale:g}, expected a number more than 0")
    written = work.render(
        frames, systems, out, flow, fps, scale, span=span, void=void, colours=palette_of(palette), resize=resize
    )
    say(f"wrote {', '.join(map(str, written))}")
