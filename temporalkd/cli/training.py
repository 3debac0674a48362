"""`demo`, `train`, `compare`, `config` and `doctor`: what a student is made by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temporalkd.cli.app import app, config_app
from temporalkd.cli.arguments import folder_name
from temporalkd.cli.options import ConfigFile, Overrides
from temporalkd.console import fail, say


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the demo's runs and video go.")] = Path("demo"),
    seed: int = 0,
) -> None:
    """Train teacher, baseline, kd and etc on synthetic streets, compare them, and render the flicker."""
    from temporalkd.cli.commands.demo import demo as run_demo

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
    from temporalkd.evaluation.tables import table
    from temporalkd.experiments import run
    from temporalkd.training.reproducibility import be_deterministic

    if deterministic:
        be_deterministic()
    try:
        rows = run.train(loaded, out or Path("runs") / folder_name(loaded.name), resume, say, score=not no_score)
    except KeyboardInterrupt as stop:
        fail(str(stop) or "interrupted", 1, debug=False)
    if rows:
        table(rows, loaded.name)


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
    from temporalkd.cli.commands.compare import compare as run_comparison
    from temporalkd.experiments.comparison import failures, show

    try:
        found = run_comparison(configs, out, range(first_seed, first_seed + seeds), overrides, rows, ema, say)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on", 1, debug=False)
    show(found)
    say(f"wrote {out / 'compare.md'} and {out / 'compare.json'}")
    if failed := failures(found):
        fail(f"{len(failed)} training(s) failed, the same command tries again: {'; '.join(failed)}", 1, debug=False)


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
    from temporalkd.cli.commands.doctor import doctor as examine

    if not examine():
        raise typer.Exit(1)
