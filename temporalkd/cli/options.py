"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from temporalkd.cli.arguments import one_of, protocols
from temporalkd.config.errors import FlowKind, Protocol

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, see configs/.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else goes to stderr.")]
Csv = Annotated[bool, typer.Option("--csv", help="One line of CSV a row on stdout; everything else goes to stderr.")]
Flow = Annotated[str, typer.Option(callback=one_of(FlowKind), help="raft_small, raft_large, dis or zero.")]
Protocols = Annotated[
    list[str],
    typer.Option(
        "--protocol",
        callback=protocols,
        help=f"{', '.join(get_args(Protocol))}, or all; may be given several times.",
    ),
]
Ema = Annotated[
    float | None, typer.Option(metavar="DECAY", help="Add the causal moving average of the probabilities, 0.8 say.")
]
Colours = Annotated[
    str | None, typer.Option("--palette", help="Class maps are in colours: camvid, cityscapes, voc, or a file.")
]
Resize = Annotated[bool, typer.Option("--resize", help="Bring class maps to their frames' size (nearest).")]
Frames = Annotated[Path, typer.Option(help="Folder of images in temporal order, or a video.")]


def palette_of(name: str | None) -> Any:
    from temporalkd.data.palettes import palette

    return palette(name) if name else None
