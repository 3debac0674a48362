"""What takes long to find out: `python tools/soak.py --fuzz 10000` and `--kills 50`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from soaks.fuzz import fuzz
from soaks.kills import Kill, kills
from soaks.readers import READERS

from temporalkd.cli import main
from temporalkd.messages import say


def soak(
    damaged: Annotated[int, typer.Option("--fuzz", min=0, help="Damaged files that each reader is given.")] = 0,
    reader: Annotated[list[str], typer.Option(help=f"These alone: {', '.join(READERS)}.")] = [],  # noqa: B006
    killed: Annotated[int, typer.Option("--kills", min=0, help="Trainings to kill at random places and resume.")] = 0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
) -> None:
    """Do something very often: every damaged file must be refused or read as valid, every killed training survive."""
    if not damaged and not killed:
        raise typer.BadParameter("nothing to do: say --fuzz 10000 or --kills 50")
    if unknown := [name for name in reader if name not in READERS]:
        raise typer.BadParameter(f"{unknown[0]!r}, expected some of {', '.join(READERS)}")
    faults = [*(_fuzz(reader or list(READERS), damaged, seed) if damaged else []), *(_kill(killed, seed))]
    for fault in faults:
        print(fault)
    if faults:
        raise typer.Exit(1)


def _fuzz(readers: Sequence[str], count: int, seed: int) -> list[str]:
    """What was found; a table of what was done."""
    shown = Table(title=f"damaged files, seed {seed}", title_style="bold")
    for heading in ("reader", "read", "refused", "taken", "of them changed", "findings", "slowest"):
        shown.add_column(heading, justify="left" if heading == "reader" else "right")
    findings = []
    for name in readers:
        with TemporaryDirectory(prefix="temporalkd-fuzz-") as folder:
            told = fuzz(name, count, seed, folder)
        findings += told.findings
        numbers = (told.read, told.refused, told.read - told.refused, told.changed, len(told.findings))
        shown.add_row(name, *map(str, numbers), f"{told.slowest:.2f} s")
        print(f"{name}: {told.read} read, {len(told.findings)} findings", file=sys.stderr)
    Console().print(shown)
    return findings


def _kill(count: int, seed: int) -> list[str]:
    """The trainings that did not survive; a table of all."""
    done = list[Kill]()
    for one in kills(count, seed):
        done.append(one)
        say(f"{len(done)}/{count} {one.method}, {' and '.join(one.where)}: {', '.join(one.lost) or 'survived'}")
    if not done:
        return []
    shown = Table(title=f"kills, seed {seed}", title_style="bold")
    for heading in ("method", "workers", "processes", "place", "killed in", "lost"):
        shown.add_column(heading)
    for one in done:
        where = "\n".join(one.where)
        shown.add_row(one.method, f"{one.workers}", f"{one.processes}", one.place, where, "\n".join(one.lost) or "-")
    Console().print(shown)
    lost = [f"{one.method}, killed in {' and '.join(one.where)}: not the same" for one in done if one.lost]
    print(f"{len(done) - len(lost)} of {len(done)} survived")
    return lost


if __name__ == "__main__":
    main(lambda: typer.run(soak))
