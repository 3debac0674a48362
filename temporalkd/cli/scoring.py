"""`evaluate`, `consistency`, `verify` and `report`: numbers and pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from temporalkd.cli.app import app
from temporalkd.cli.arguments import old_new, one_of
from temporalkd.cli.options import Colours, Csv, Ema, Frames, Json, Overrides, Protocols, Resize, palette_of
from temporalkd.config.errors import ConfigError, EvaluationFlow, FlowKind, Protocol
from temporalkd.console import fail, say


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
    from temporalkd.cli.commands import score

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
    from temporalkd.cli.commands import score
    from temporalkd.data.image_folder import MapFolder

    maps = MapFolder(
        predictions, classes=classes, void=None, mapping=mapping or None, palette=palette_of(palette), resize=resize
    )
    show(score.consistency(frames, maps, labels, void, protocol, flow, weights))


@app.command()
def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]) -> None:
    """Evaluate a run's student again, and compare each number with the one that its training recorded."""
    from temporalkd.cli.commands.verify import verify as compared

    differing = []
    for number in compared(run):
        print(number)
        if number.difference != 0:
            differing.append(abs(number.difference))
    if differing:
        most = f"by up to {max(differing):.4f} points"
        fail(f"{run}: {len(differing)} number(s) differ from its evaluation.json, {most}", 1, debug=False)


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
    from temporalkd.cli.commands.report import report as write_page

    write_page(runs, out, loaded, overrides, protocol, flow, ema)
    say(f"wrote {out}")


def _shown_as(as_json: bool, as_csv: bool) -> Callable[[list[Any]], None]:
    """What prints the rows; refuses before anything is computed."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv: either one or the other, both write to stdout")

    def show(rows: list[Any]) -> None:
        from temporalkd import evaluation

        if as_json or as_csv:
            print(evaluation.as_json(rows) if as_json else evaluation.as_csv(rows), end="")
            return
        from temporalkd.evaluation.tables import table

        table(rows, rows[0].system, published=True)

    return show
