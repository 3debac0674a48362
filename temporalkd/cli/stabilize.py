"""`stabilize`: a network made steady from its own video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from temporalkd.cli.app import app
from temporalkd.cli.options import Flow, Json
from temporalkd.console import fail, say
from temporalkd.plugins import ConfigError


@app.command()
def stabilize(
    model: Annotated[Path, typer.Argument(help="Run folder, or file of weights with its json.")],
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, or folders of frames.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The steady weights, .safetensors or .pth.")],
    teacher: Annotated[
        str | None, typer.Option(help="A larger network of the same classes, as of a config; its views teach too.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=32, help="Longest side of the frames that are used; default that of training, else 640."),
    ] = None,
    max_frames: Annotated[int, typer.Option(min=2, help="Frames that are used, evenly in runs of 8.")] = 150,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of four frames.")] = 400,
    minutes: Annotated[float | None, typer.Option(help="Instead of --steps: as many as fit into this time.")] = None,
    mix: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of the new weights in the result; default 0.5, or what the held-out part accepts."
        ),
    ] = None,
    keep: Annotated[
        list[Path], typer.Option(metavar="FOLDER", help="Other frames, on which it is to answer as it does now.")
    ] = [],
    agreement: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the held-out pixels that must keep the original's class.")
    ] = 0.95,
    flow_passes: Annotated[int, typer.Option(min=0, help="Average the targets along the flow, so many times.")] = 0,
    motion: Annotated[float, typer.Option(min=0, help="Weight of motion consistency; 0 leaves it out.")] = 0.0,
    mend: Annotated[
        Path | None, typer.Option(metavar="MAPS", help="Use all frames, and write their class maps to this folder.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Class maps of the first folder of frames, for the report alone.")
    ] = None,
    flow: Flow = "raft_small",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    accelerator: Annotated[Literal["auto", "cpu", "gpu"], typer.Option()] = "auto",
    no_video: Annotated[bool, typer.Option("--no-video", help="Leave the flicker video out.")] = False,
    json: Json = False,
) -> None:
    """Make a network steady from unlabelled video of its camera: the same network, as fast, with other weights."""
    if out.suffix not in (".safetensors", ".pth", ".pt"):
        raise ConfigError(f"{out}: expected a name that ends in .safetensors, .pth or .pt")
    from json import dumps

    from temporalkd.experiments.stabilize import stabilize as run

    try:
        done = run(
            model,
            [str(video) for video in videos],
            teacher=teacher,
            out=out,
            keep=[str(folder) for folder in keep],
            labels=labels,
            mend=mend,
            resume=resume,
            accelerator=accelerator,
            film=not no_video,
            size=size,
            max_frames=max_frames,
            steps=steps,
            minutes=minutes,
            mix=mix,
            agreement=agreement,
            flow_passes=flow_passes,
            motion=motion,
            flow=flow,
            seed=seed,
        )
    except KeyboardInterrupt as stop:
        fail(str(stop) or "interrupted", 1, debug=False)
    if json:
        print(dumps({"kept": done.kept, "reason": done.reason, "mix": done.mix, "results": done.results}))
    else:
        print("\n".join(done.table))
    say(f"wrote {done.weights} and {done.folder}")
