"""One progress bar, on stderr: rich on a terminal, elsewhere a plain line every ten seconds, and the last."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Tick = Callable[[int, int], None]
PLAIN_SECONDS = 10.0


def lines(name: str) -> Tick:
    """What tells of it where there is no terminal, or none that is free."""
    last, told = time.monotonic(), False

    def tick(done: int, total: int) -> None:
        nonlocal last, told
        if time.monotonic() - last > PLAIN_SECONDS or (told and done == total):
            last, told = time.monotonic(), True
            print(f"{name}: {done}/{total}", file=sys.stderr)

    return tick


@contextmanager
def progress(name: str) -> Iterator[Tick]:
    """A function to be called with (done, total)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(name)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
