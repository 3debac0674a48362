"""`export`: a student as a file of ONNX, torch.export or OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import image_size
from temporalkd.console import say


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Run folder or .safetensors file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file: .onnx, .pt2 (torch.export) or .xml (OpenVINO).")],
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Frame size; default data.val's, or the json's trained_size.")
    ] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Frames of any size, as .onnx or .xml.")] = False,
    argmax: Annotated[bool, typer.Option("--argmax", help="Output the class map (uint8) instead of logits.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise to 8 bits, ranges from --calibrate.")] = False,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="VIDEO_OR_DIR", help="Frames from which --int8 takes its ranges.")
    ] = None,
) -> None:
    """Write a student as an ONNX, torch.export or OpenVINO file that is checked against the network."""
    if int8 != (calibrate is not None):
        raise typer.BadParameter("--int8 and --calibrate FRAMES belong together")
    sides = None if size is None else image_size(size)
    from temporalkd.cli.work import export as work

    for line in work.export(checkpoint, out, sides, dynamic, argmax, calibrate):
        say(line)
