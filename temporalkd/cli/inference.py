"""`predict`, `export` and `render`: what a student is used by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import image_size, one_of
from temporalkd.cli.options import Colours, Flow, Frames, Resize, palette_of
from temporalkd.console import say

InferencePrecision = Literal["fp32", "bf16"]


@app.command()
def predict(
    system: Annotated[Path, typer.Argument(help="Run folder, .safetensors or .onnx file.")],
    frames: Annotated[Path, typer.Argument(metavar="VIDEO_OR_DIR")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the class maps (PNG).")],
    precision: Annotated[str, typer.Option(callback=one_of(InferencePrecision), help="fp32 or bf16.")] = "fp32",
    compiled: Annotated[bool, typer.Option("--compile", help="By torch.compile: worth it on long videos.")] = False,
) -> None:
    """Write a class map for every frame of a video or folder."""
    from temporalkd.cli.commands.predict import predict as write_maps

    count = write_maps(system, frames, out, precision, compiled)
    say(f"wrote {count} class maps to {out}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Run folder or .safetensors file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file, .onnx.")],
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Of the frames; default that of the run's data.val.")
    ] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Frames of any size.")] = False,
    argmax: Annotated[bool, typer.Option("--argmax", help="Give the class map (uint8) instead of logits.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="8 bit integers, their ranges from --calibrate.")] = False,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="VIDEO_OR_DIR", help="Frames that --int8 takes its ranges from.")
    ] = None,
) -> None:
    """Write a student as an ONNX file that is checked against the network."""
    if int8 != (calibrate is not None):
        raise typer.BadParameter("--int8 and --calibrate FRAMES belong together")
    sides = None if size is None else image_size(size)
    from temporalkd.cli.commands.export import export as write_onnx

    for line in write_onnx(checkpoint, out, sides, dynamic, argmax, calibrate):
        say(line)


@app.command()
def render(
    frames: Frames,
    left: Annotated[Path, typer.Option(help="Run, checkpoint, or folder of class maps.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The video, .mp4.")],
    right: Annotated[Path | None, typer.Option(help="The second system.")] = None,
    panel: Annotated[list[Path], typer.Option(metavar="PATH", help="A further system; four fit side by side.")] = [],  # noqa: B006
    names: Annotated[list[str], typer.Option(metavar="NAME", help="What a panel is called: one a panel.")] = [],  # noqa: B006
    void: Annotated[
        int, typer.Option(min=0, max=65535, help="Value of unlabelled pixels in folders of class maps, besides 255.")
    ] = 255,
    span: Annotated[
        str,
        typer.Option("--range", metavar="START:END", help="Frames START to END - 1 alone, from 0; either may lack."),
    ] = ":",
    palette: Colours = None,
    resize: Resize = False,
    flow: Flow = "raft_small",
    fps: Annotated[float | None, typer.Option(help="Frames per second; default the footage's.")] = None,
    scale: Annotated[
        float | None, typer.Option(help="Enlarge or reduce, 2 or 0.5; default 1, small frames to 400 pixels wide.")
    ] = None,
) -> None:
    """Render systems side by side, the pixels that flip along the motion in red, over the heat of where they did."""
    from temporalkd.cli.commands.render import MAX_SYSTEMS
    from temporalkd.cli.commands.render import render as write_video

    systems = [left, *([] if right is None else [right]), *panel]
    if len(systems) > MAX_SYSTEMS:
        raise typer.BadParameter(f"{len(systems)} panels, of which {MAX_SYSTEMS} fit side by side at most")
    if names and len(names) != len(systems):
        raise typer.BadParameter(f"{len(names)} --names for {len(systems)} panels, expected one a panel")
    if scale is not None and not 0 < scale < float("inf"):
        raise typer.BadParameter(f"--scale {scale:g}, expected a number more than 0")
    colours = palette_of(palette)
    write_video(
        frames, systems, out, flow, fps, scale, span=span, void=void, names=names, colours=colours, resize=resize
    )
    say(f"wrote {out}")
