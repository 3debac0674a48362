"""`predict`: a class map for every frame."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from temporalkd.cli.app import app
from temporalkd.console import say


@app.command()
def predict(
    system: Annotated[Path, typer.Argument(help="Run folder, .safetensors, .onnx, .pt2 or .xml file.")],
    frames: Annotated[list[Path], typer.Argument(metavar="VIDEO_OR_DIR...")],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="Folder for the class maps (PNG); of several scenes, a folder in it for each."
        ),
    ],
    precision: Annotated[Literal["fp32", "bf16"], typer.Option()] = "fp32",
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile; pays off on long videos.")] = False,
) -> None:
    """Write a class map for every frame of videos or folders."""
    from temporalkd.cli.work import predict as work

    count = work.predict(system, frames, out, precision, compiled)
    say(f"wrote {count} class maps to {out}")
