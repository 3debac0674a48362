"""What a person reads on stderr: lines, short warnings, progress, the one-line reason of a failure."""

from __future__ import annotations

import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


def duration(seconds: float) -> str:
    """A time for people: in seconds below a minute, else in minutes."""
    return f"{seconds:.0f} s" if seconds < 59.5 else f"{seconds / 60:.1f} min"


def say(line: str) -> None:
    """A line for people, on stderr."""
    print(line, file=sys.stderr)


@contextmanager
def short_warnings() -> Iterator[None]:
    """A warning is a line on stderr; those that differ only in the file are told once, and counted."""
    told: dict[str, list[str]] = {}

    def show(message: Warning | str, *_: object) -> None:
        text = " ".join(str(message).split())
        same = told.setdefault(re.sub(r"\S*/\S*", "...", text), [])
        if not same:
            say(f"warning: {text}")
        if text not in same:
            same.append(text)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        try:
            yield
        finally:
            for kind, texts in told.items():
                if len(texts) > 1:
                    say(f"warning: {len(texts) - 1} more like it: {kind}")


def fail(reason: object, code: int, debug: bool) -> NoReturn:
    """End with that reason, and its traceback where one debugs."""
    if debug:
        traceback.print_exc()
    text = " ".join(_in_words(reason).split()) or type(reason).__name__
    kind = (
        ""
        if isinstance(reason, ValueError | OSError | FloatingPointError | MemoryError | str)
        else f"{type(reason).__name__}: "
    )
    hint = "" if debug or not kind else " (temporalkd --debug COMMAND shows where)"
    print(f"error: {kind}{text}{hint}", file=sys.stderr)
    sys.exit(code)


def _in_words(reason: object) -> str:
    """Python's "[Errno 13] Permission denied: 'name'" with the name first, as all else has it."""
    if isinstance(reason, OSError) and reason.strerror and reason.filename is not None and reason.filename2 is None:
        return f"{reason.filename}: {reason.strerror}"
    return str(reason)


Tick = Callable[[int, int], None]
"""Called with (done, total)."""
PLAIN_SECONDS = 10.0


def lines(name: str) -> Tick:
    """Progress as plain lines, where stderr is no terminal: one every ten seconds, and the last."""
    last, told = time.monotonic(), False

    def tick(done: int, total: int) -> None:
        nonlocal last, told
        if time.monotonic() - last > PLAIN_SECONDS or (told and done == total):
            last, told = time.monotonic(), True
            print(f"{name}: {done}/{total}", file=sys.stderr)

    return tick


@contextmanager
def progress(name: str) -> Iterator[Tick]:
    """A progress bar on stderr: rich on a terminal, `lines` elsewhere. Call what it gives with (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(name)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
