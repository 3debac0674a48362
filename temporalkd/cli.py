"""The command line: one function a command. torch is imported only by the commands that compute."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args

import typer

from temporalkd.arguments import folder_name, image_size, old_new, one_of, protocols
from temporalkd.imports import REFUSED
from temporalkd.messages import fail, say, short_warnings
from temporalkd.words import ConfigError, EvaluationFlow, FlowKind, Protocol

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Train small segmentation networks that are accurate and do not flicker on video.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at configs without running them.")
app.add_typer(config_app, name="config")


InferencePrecision = Literal["fp32", "bf16"]
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


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    no_import: Annotated[
        bool, typer.Option("--no-import", help="Refuse import strings, in configs and beside weights of others.")
    ] = False,
) -> None:
    """Options before the command."""
    if no_import:
        os.environ[REFUSED] = "1"


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the demo's runs and video go.")] = Path("demo"),
    seed: int = 0,
) -> None:
    """Train teacher, baseline, kd and etc on synthetic streets, compare them, and render the flicker."""
    from temporalkd.demo import demo as run_demo

    run_demo(out, seed, say)


@app.command()
def train(
    config: ConfigFile,
    overrides: Overrides = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Run folder; default runs/NAME.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the run folder's last checkpoint, or begin where there is none."),
    ] = False,
    devices: Annotated[str | None, typer.Option(help="Processes on this machine, or auto.")] = None,
    no_score: Annotated[bool, typer.Option("--no-score", help="Leave data.val alone.")] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits again on the same machine; slower on a GPU.")
    ] = False,
) -> None:
    """Train a student."""
    from temporalkd.config import load

    settings = [*overrides, *([f"training.devices={devices}"] if devices else [])]
    loaded = load(config, settings)
    from temporalkd import run
    from temporalkd.deterministic import be_deterministic
    from temporalkd.memory import keep_freed_memory
    from temporalkd.table import table

    keep_freed_memory()
    if deterministic:
        be_deterministic()
    try:
        rows = run.train(loaded, out or Path("runs") / folder_name(loaded.name), resume, say, score=not no_score)
    except KeyboardInterrupt as stop:
        fail(str(stop) or "interrupted", 1, debug=False)
    if rows:
        table(rows, loaded.name)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="Run folder or .safetensors file.")],
    data: Annotated[Path | None, typer.Option(help="Config whose data.val to use; default the run's own.")] = None,
    overrides: Overrides = [],  # noqa: B006
    protocol: Protocols = ["visible"],  # noqa: B006
    flow: Annotated[
        list[str],
        typer.Option(
            callback=one_of(EvaluationFlow),
            help="raft_small, raft_large, dis or exact; several are shown side by side; default the config's.",
        ),
    ] = [],  # noqa: B006
    ema: Ema = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score a student: accuracy, temporal consistency, flip rate, beside ceiling and floor."""
    from temporalkd.config import load

    show = _shown_as(as_json, as_csv)
    loaded = load(data, overrides) if data else None
    from temporalkd.commands import score

    show(score.evaluate(run, loaded, protocol, flow, overrides, ema))


@app.command()
def consistency(
    frames: Frames,
    predictions: Annotated[Path, typer.Option(help="Folder of PNG class maps, one a frame.")],
    labels: Annotated[Path | None, typer.Option(help="Folder of PNG labels, one a frame.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes; default the largest index + 1.")] = None,
    void: Annotated[int, typer.Option(help="Value of unlabelled pixels in the labels.")] = 255,
    replace: Annotated[
        list[str], typer.Option(metavar="OLD:NEW", help="Read a value of the predictions as another class.")
    ] = [],  # noqa: B006
    protocol: Protocols = ["visible"],  # noqa: B006
    palette: Colours = None,
    resize: Resize = False,
    flow: Annotated[
        list[str],
        typer.Option(callback=one_of(FlowKind), help="raft_small, raft_large, dis or zero; several side by side."),
    ] = ["raft_small"],  # noqa: B006
    weights: Annotated[str | None, typer.Option(help="Weights of the flow network.")] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Score the predictions of any tool, given as a folder of class maps."""
    show = _shown_as(as_json, as_csv)
    mapping = dict(old_new(text) for text in replace)
    from temporalkd.commands import score
    from temporalkd.data.frames import MapFolder

    maps = MapFolder(
        predictions, classes=classes, void=None, mapping=mapping or None, palette=_palette(palette), resize=resize
    )
    show(score.consistency(frames, maps, labels, void, protocol, flow, weights))


@app.command()
def predict(
    system: Annotated[Path, typer.Argument(help="Run folder, .safetensors or .onnx file.")],
    frames: Annotated[Path, typer.Argument(metavar="VIDEO_OR_DIR")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the class maps (PNG).")],
    precision: Annotated[str, typer.Option(callback=one_of(InferencePrecision), help="fp32 or bf16.")] = "fp32",
    compiled: Annotated[bool, typer.Option("--compile", help="By torch.compile: worth it on long videos.")] = False,
) -> None:
    """Write a class map for every frame of a video or folder."""
    from temporalkd.commands.predict import predict as write_maps

    write_maps(system, frames, out, precision, compiled)


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
    from temporalkd.commands.export import export as write_onnx

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
    from temporalkd.commands.render import MAX_SYSTEMS
    from temporalkd.commands.render import render as write_video

    systems = [left, *([] if right is None else [right]), *panel]
    if len(systems) > MAX_SYSTEMS:
        raise typer.BadParameter(f"{len(systems)} panels, of which {MAX_SYSTEMS} fit side by side at most")
    if names and len(names) != len(systems):
        raise typer.BadParameter(f"{len(names)} --names for {len(systems)} panels, expected one a panel")
    if scale is not None and not 0 < scale < float("inf"):
        raise typer.BadParameter(f"--scale {scale:g}, expected a number more than 0")
    colours = _palette(palette)
    write_video(
        frames, systems, out, flow, fps, scale, span=span, void=void, names=names, colours=colours, resize=resize
    )
    say(f"wrote {out}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders or .safetensors files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page, .html.")] = Path("report.html"),
    data: Annotated[Path | None, typer.Option(help="Config whose data.val to use; default the first run's.")] = None,
    overrides: Overrides = [],  # noqa: B006
    protocol: Annotated[str, typer.Option(callback=one_of(Protocol), help="Of the consistency.")] = "visible",
    flow: Annotated[
        str | None, typer.Option(callback=one_of(EvaluationFlow), help="raft_small, raft_large, dis or exact.")
    ] = None,
    ema: Ema = None,
) -> None:
    """Compare runs in one self-contained HTML page: numbers with intervals, curves, worst moments, synced video."""
    from temporalkd.config import load

    loaded = load(data, overrides) if data else None
    from temporalkd.commands.report import report as write_page

    write_page(runs, out, loaded, overrides, protocol, flow, ema)
    say(f"wrote {out}")


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files, one a system.")],
    overrides: Overrides = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of runs and tables.")] = Path("results"),
    rows: Annotated[bool, typer.Option("--rows", help="Instead of each config, its method's own ablation.")] = False,
    ema: Annotated[float, typer.Option(metavar="DECAY", help="Moving average of the plain student, a row too.")] = 0.8,
) -> None:
    """Train several configs, each with several seeds, and compare them; goes on where it was stopped."""
    from temporalkd.commands.compare import compare as run_comparison
    from temporalkd.comparison import failures, show

    try:
        found = run_comparison(configs, out, range(first_seed, first_seed + seeds), overrides, rows, ema, say)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on", 1, debug=False)
    show(found)
    say(f"wrote {out / 'compare.md'} and {out / 'compare.json'}")
    if failed := failures(found):
        fail(f"{len(failed)} training(s) failed, the same command tries again: {'; '.join(failed)}", 1, debug=False)


@app.command()
def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]) -> None:
    """Evaluate a run's student again, and compare each number with the one that its training recorded."""
    from temporalkd.commands.verify import verify as compared

    differing = []
    for number in compared(run):
        print(number)
        if number.difference != 0:
            differing.append(abs(number.difference))
    if differing:
        most = f"by up to {max(differing):.4f} points"
        fail(f"{run}: {len(differing)} number(s) differ from its evaluation.json, {most}", 1, debug=False)


@config_app.command("check")
def config_check(config: ConfigFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Check a config against the schema; imports no torch."""
    from temporalkd.config import load

    loaded = load(config, overrides)
    print(f"{config}: ok, {loaded.method.name} for {loaded.training.steps} steps")


@config_app.command("show")
def config_show(config: ConfigFile, overrides: Overrides = []) -> None:  # noqa: B006
    """Print a config with `extends` resolved and every default written out."""
    from temporalkd.config import dump, load

    print(dump(load(config, overrides)), end="")


@app.command()
def doctor() -> None:
    """Versions, devices, codecs, and which weights and data are found."""
    from temporalkd.doctor import doctor as examine

    if not examine():
        raise typer.Exit(1)


def _palette(name: str | None) -> Any:
    from temporalkd.data.palettes import palette

    return palette(name) if name else None


def _shown_as(as_json: bool, as_csv: bool) -> Callable[[list[Any]], None]:
    """What prints the rows; refuses before anything is computed."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv: either one or the other, both write to stdout")

    def show(rows: list[Any]) -> None:
        from temporalkd import evaluation

        if as_json or as_csv:
            print(evaluation.as_json(rows) if as_json else evaluation.as_csv(rows), end="")
            return
        from temporalkd.table import table

        table(rows, rows[0].system, published=True)

    return show


_INTERRUPTED = 130
"""What typer ends with, and no word, when a command is interrupted."""


def main(job: Callable[[], object] = app) -> NoReturn:
    """Entry point: 0 done, 1 failed with a one-line reason, 2 wrong usage."""
    debug = "--debug" in sys.argv
    try:
        with nullcontext() if debug else short_warnings():
            job()
    except ConfigError as error:
        fail(error, 2, debug)
    except KeyboardInterrupt:
        fail("interrupted", 1, debug)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            fail("interrupted", 1, debug)
        raise
    except Exception as error:
        fail(error, 1, debug)
    sys.exit(0)


def main_of(command: str) -> NoReturn:
    """Entry point of the scripts in tools/: one command under a name of its own."""
    sys.argv.insert(1, command)
    main()


if __name__ == "__main__":
    main()
