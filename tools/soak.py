"""Trainings killed at random places and resumed: `python tools/soak.py --kills 50`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from soaks.kills import Kill, kills

from temporalkd.cli import main
from temporalkd.console import say


def soak(
    killed: Annotated[int, typer.Option("--kills", min=1, help="Trainings to kill at random places and resume.")],
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
) -> None:
    """Kill trainings by SIGKILL and resume them: each must end as if nobody had touched it, bit for bit."""
    done = list[Kill]()
    for one in kills(killed, seed):
        done.append(one)
        say(f"{len(done)}/{killed} {one.method}, {' and '.join(one.where)}: {', '.join(one.lost) or 'survived'}")
    shown = Table(title=f"kills, seed {seed}", title_style="bold")
    for heading in ("method", "workers", "processes", "place", "killed in", "lost"):
        shown.add_column(heading)
    for one in done:
        where = "\n".join(one.where)
        shown.add_row(one.method, f"{one.workers}", f"{one.processes}", one.place, where, "\n".join(one.lost) or "-")
    Console().print(shown)
    lost = [f"{one.method}, killed in {' and '.join(one.where)}: not the same" for one in done if one.lost]
    print(f"{len(done) - len(lost)} of {len(done)} survived")
    for fault in lost:
        print(fault)
    if lost:
        raise typer.Exit(1)


if __name__ == "__main__":
    main(lambda: typer.run(soak))
