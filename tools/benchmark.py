"""Figures beside their references, measured side by side in one run: `python tools/benchmark.py consistency`."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from benchmarks.affinity import affinity
from benchmarks.consistency import consistency
from benchmarks.data import data
from benchmarks.flow import flow
from benchmarks.predict import predict
from benchmarks.result import Result, as_json
from benchmarks.startup import startup
from benchmarks.step import step
from rich.console import Console
from rich.table import Table

from flow.atomic import write_whole
from temporalkd.cli import main

SECTIONS: dict[str, Callable[[], Iterator[Result]]] = {
    "affinity": affinity,
    "consistency": consistency,
    "data": data,
    "flow": flow,
    "predict": predict,
    "startup": startup,
    "step": step,
}


def benchmark(
    section: Annotated[str, typer.Argument(help=", ".join(SECTIONS))],
    json: Annotated[Path | None, typer.Option(help="Keep the results in this file, too.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch, for both; default all cores.")] = None,
) -> None:
    """Time one section; results are checked for equality first."""
    if section not in SECTIONS:
        raise typer.BadParameter(f"{section!r}, expected one of {', '.join(SECTIONS)}")
    if threads is not None:
        torch.set_num_threads(threads)
    results = list(SECTIONS[section]())
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    shown = Table(title=section, caption=machine, title_style="bold", caption_justify="left")
    for heading in ("what", "ours", "reference", "ratio", "memory", "agreement"):
        shown.add_column(heading, justify="right" if heading in ("ours", "reference", "ratio") else "left")
    for r in results:
        reference = "-" if r.reference is None else f"{r.reference:.4g} {r.unit}"
        ratio = "-" if r.ratio is None else f"{r.ratio:.2f}"
        shown.add_row(r.what, f"{r.ours:.4g} {r.unit}", reference, ratio, r.memory, r.agreement)
    Console().print(shown)
    if json is not None:
        write_whole(json, as_json(results, machine).encode())


if __name__ == "__main__":
    main(lambda: typer.run(benchmark))
