"""The command line: one function a command. torch is imported only by the commands that compute."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer

from temporalkd.config import ConfigError, EvaluationFlow, FlowKind, Protocol

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train small segmentation networks that are accurate and do not flicker on video.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at configs without running them.")
app.add_typer(config_app, name="config")


def _one_of(known: Any) -> Callable[[Any], Any]:
    """Callback of an option whose values are those of a Literal."""

    def check(value: Any) -> Any:
        for word in [value] if isinstance(value, str) else value or ():
            if word not in get_args(known):
                raise typer.BadParameter(f"{word!r}, expected one of {', '.join(get_args(known))}")
        return value

    return check


ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, see configs/.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else goes to stderr.")]
Flow = Annotated[str, typer.Option(callback=_one_of(FlowKind), help="raft_small, raft_large, dis or zero.")]
Protocols = Annotated[
    list[str],
    typer.Option("--protocol", callback=_one_of(Protocol), help="visible, unmasked; may be given twice."),
]
Frames = Annotated[Path, typer.Option(help="Folder of images in temporal order, or a video.")]


def say(line: str) -> None:
    """A line for people, on stderr."""
    print(line, file=sys.stderr)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    """Options before the command."""


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
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")] = False,
    devices: Annotated[str | None, typer.Option(help="Processes on this machine, or auto.")] = None,
) -> None:
    """Train a student."""
    from temporalkd.config import load

    settings = [*overrides, *([f"training.devices={devices}"] if devices else [])]
    loaded = load(config, settings)
    from temporalkd import run
    from temporalkd.table import table

    rows = run.train(loaded, out or Path("runs") / loaded.name, resume, say)
    if rows:
        table(rows, loaded.name)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="Run folder or .safetensors file.")],
    data: Annotated[Path | None, typer.Option(help="Config whose data.val to use; default the run's own.")] = None,
    overrides: Overrides = [],  # noqa: B006
    protocol: Protocols = ["visible"],  # noqa: B006
    flow: Annotated[
        str | None, typer.Option(callback=_one_of(EvaluationFlow), help="raft_small, raft_large, dis or exact.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a student: accuracy, temporal consistency, flip rate, beside ceiling and floor."""
    from temporalkd.config import load

    loaded = load(data, overrides) if data else None
    from temporalkd.commands import score

    _show(score.evaluate(run, loaded, protocol, flow, overrides), run.name, as_json)


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
    flow: Flow = "raft_small",
    weights: Annotated[str | None, typer.Option(help="Weights of the flow network.")] = None,
    as_json: Json = False,
) -> None:
    """Score the predictions of any tool, given as a folder of class maps."""
    from temporalkd.commands import score

    mapping = dict(_old_new(text) for text in replace)
    rows = score.consistency(frames, predictions, labels, classes, void, mapping, protocol, flow, weights)
    _show(rows, predictions.name, as_json)


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Run folder or .safetensors file.")],
    frames: Annotated[Path, typer.Argument(metavar="VIDEO_OR_DIR")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the class maps (PNG).")],
) -> None:
    """Write a class map for every frame of a video or folder."""
    from temporalkd.commands.predict import predict as write_maps

    write_maps(checkpoint, frames, out)


@app.command()
def render(
    frames: Frames,
    left: Annotated[Path, typer.Option(help="Run, checkpoint, or folder of class maps.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The video, .mp4.")],
    right: Annotated[Path | None, typer.Option(help="The second system.")] = None,
    flow: Flow = "raft_small",
    fps: Annotated[float | None, typer.Option(help="Frames per second; default the footage's.")] = None,
    scale: Annotated[int, typer.Option(min=1, help="Enlarge by a whole factor.")] = 1,
) -> None:
    """Render systems side by side, the pixels that flip along the motion in red."""
    from temporalkd.commands.render import render as write_video

    write_video(frames, [left] if right is None else [left, right], out, flow, fps, scale)
    say(f"wrote {out}")


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


def _old_new(text: str) -> tuple[int, int]:
    old, _, new = text.partition(":")
    if not old.isdigit() or not new.isdigit():
        raise typer.BadParameter(f"--replace {text!r}: expected two class values, OLD:NEW")
    return int(old), int(new)


def _show(rows: list[Any], title: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"results": [row.as_dict() for row in rows]}))
        return
    from temporalkd.table import table

    table(rows, title)


def main(job: Callable[[], object] = app) -> NoReturn:
    """Entry point: 0 done, 1 failed with a one-line reason, 2 wrong usage."""
    debug = "--debug" in sys.argv
    try:
        job()
    except ConfigError as error:
        _fail(error, 2, debug)
    except KeyboardInterrupt:
        _fail("interrupted", 1, debug)
    except Exception as error:
        _fail(error, 1, debug)
    sys.exit(0)


def main_of(command: str) -> NoReturn:
    """Entry point of the scripts in tools/: one command under a name of its own."""
    sys.argv.insert(1, command)
    main()


def _fail(reason: object, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    text = " ".join(str(reason).split()) or type(reason).__name__
    kind = "" if isinstance(reason, ValueError | OSError | FloatingPointError | str) else f"{type(reason).__name__}: "
    hint = "" if debug or not kind else " (temporalkd --debug COMMAND shows where)"
    print(f"error: {kind}{text}{hint}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
