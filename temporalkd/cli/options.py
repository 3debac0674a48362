"""Arguments and options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from temporalkd.cli.arguments import disturbances, protocols
from temporalkd.config.choices import FlowKind, Protocol
from temporalkd.plugins import ConfigError

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, see configs/.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else goes to stderr.")]
Csv = Annotated[bool, typer.Option("--csv", help="One line of CSV a row on stdout; everything else goes to stderr.")]
Flow = Annotated[FlowKind, typer.Option(help="Optical flow.")]
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
Disturb = Annotated[
    list[str],
    typer.Option(
        "--disturb",
        metavar="KINDS",
        callback=disturbances,
        help="Score networks on disturbed frames too: noise,jpeg,blur,motion,exposure,gamma, or some of these.",
    ),
]
Perceptual = Annotated[
    str | None,
    typer.Option(
        "--perceptual",
        metavar="ENCODER",
        help="Perceptual consistency, by features of timm:NAME, torchvision:NAME, hf:NAME, a run folder or weights.",
    ),
]
Skip = Annotated[int, typer.Option("--skip", min=1, metavar="K", help="Compare frames t and t + K.")]
Colours = Annotated[
    str | None, typer.Option("--palette", help="Class maps are in colours: camvid, cityscapes, voc, or a file.")
]
Resize = Annotated[bool, typer.Option("--resize", help="Resize class maps to the frame size (nearest neighbour).")]
_SYSTEM = (
    "Run folder, .safetensors, .onnx, .pt2 or .xml file, folder or lossless video of class maps; of several scenes, a "
    "folder with one of either for each, by name. NAME=PATH names a system."
)
Systems = Annotated[list[str], typer.Argument(metavar="SYSTEM", help=_SYSTEM)]
OptionalSystems = Annotated[list[str], typer.Argument(metavar="SYSTEM", help=_SYSTEM, show_default=False)]
_FRAMES = "Folder of images in temporal order, or a video, or a folder of several scenes; may be given several times."
Frames = Annotated[list[Path], typer.Option("--frames", help=_FRAMES)]
Labels = Annotated[
    Path | None, typer.Option(help="Folder of PNG labels, one a frame; of several scenes, a folder of each.")
]
ClassTable = Annotated[
    str | None,
    typer.Option(help="Maps networks of other classes, as cityscapes-camvid does; default: by equal names."),
]


def palette_of(name: str | None) -> Any:
    from temporalkd.data.palettes import palette

    return palette(name) if name else None


def shown_as(as_json: bool, as_csv: bool) -> Callable[[list[Any]], None]:
    """What prints the rows; refuses before anything is computed."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv: only one can be given, both write to stdout")

    def show(rows: list[Any]) -> None:
        from temporalkd import evaluation

        if as_json or as_csv:
            print(evaluation.as_json(rows) if as_json else evaluation.as_csv(rows), end="")
            return
        from temporalkd.evaluation.tables import table

        table(rows, rows[0].system, published=True)

    return show


def gone(now: str) -> Callable[[typer.CallbackParam, Any], Any]:
    """Callback of options of an earlier version: one line that says the new spelling."""

    def refuse(option: typer.CallbackParam, value: Any) -> Any:
        if value:
            raise ConfigError(f"{', '.join(option.opts)}: {now}")
        return value

    return refuse
