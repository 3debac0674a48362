"""What a run writes about itself: log.jsonl, metrics.csv, what loggers take, and the line on the screen."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flow.atomic import write_whole
from temporalkd.console import duration
from temporalkd.loggers import Logging, make_logger

Values = Mapping[str, float | int | None]

LOG, METRICS = "log.jsonl", "metrics.csv"


class RunLog:
    """The records of one run; a context manager. With enabled=False (other processes) it does nothing."""

    def __init__(
        self, folder: Path, steps: int, name: str, enabled: bool = True, loggers: Sequence[Any] = ("tensorboard",)
    ):
        self.folder, self.steps, self.name, self.enabled = folder, steps, name, enabled
        self.loggers = [make_logger(given) for given in loggers] if enabled else []
        self.console = Console(stderr=True)
        self._progress: Progress | None = None
        self._last_line = 0.0

    def open(self, step: int, evaluated: int) -> RunLog:
        """Start, or go on at `step`, evaluated last at another: later records, of a run cut off, are dropped."""
        if not self.enabled:
            return self
        self._drop_after(step, evaluated)
        self._open_loggers(step)
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
            )
            self._task = self._progress.add_task(self.name, total=self.steps, completed=step, note="")
            self._progress.start()
        self._started, self._first = time.monotonic(), step
        return self

    def close(self) -> None:
        """Flush and take the progress bar down."""
        if self._progress:
            self._progress.stop()
        if self.enabled:
            for logger in self.loggers:
                logger.close()

    def step(self, step: int, values: Values | None) -> None:
        """A step is done; `values` where it is one that is recorded."""
        if not self.enabled:
            return
        note = ""
        if values is not None:
            with (self.folder / LOG).open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            self._to_loggers("train", step, values)
            note = f"loss {values.get('loss', float('nan')):.3f}"
        if self._progress:
            self._progress.update(self._task, completed=step)
            if note:
                self._progress.update(self._task, note=note)
        elif values is not None and (time.monotonic() - self._last_line > 10 or step == self.steps):
            self._last_line = time.monotonic()
            pace = (self._last_line - self._started) / max(step - self._first, 1)
            left = duration((self.steps - step) * pace)
            print(f"{self.name}: step {step}/{self.steps}  {note}  {left} left", file=sys.stderr)

    def round(self, step: int, number: int, values: Values) -> None:
        """A round of training has ended: a line of log.jsonl of its own."""
        if not self.enabled:
            return
        with (self.folder / LOG).open("a") as file:
            file.write(json.dumps({"step": step, "round": number, **values}) + "\n")
        self._to_loggers("train", step, values)

    def evaluation(self, step: int, values: Values) -> None:
        """A row of metrics.csv."""
        if not self.enabled:
            return
        path = self.folder / METRICS
        row = {"step": step, **values}
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        self._to_loggers("val", step, values)
        shown = "  ".join(f"{k} {v:.2f}" for k, v in values.items() if v is not None)
        self.console.print(f"{self.name}: step {step}  {shown}", highlight=False, markup=False)

    def sync(self) -> None:
        """Bring what was recorded onto the disk: a checkpoint must not outlive the records before it."""
        for name in (LOG, METRICS) if self.enabled else ():
            if (path := self.folder / name).exists():
                with path.open("ab") as file:
                    os.fsync(file.fileno())

    def _to_loggers(self, kind: str, step: int, values: Values) -> None:
        named = _named(kind, values)
        for logger in self.loggers:
            logger.log(step, named)

    def _open_loggers(self, step: int) -> None:
        history = [
            (found["step"], _named("train", {k: v for k, v in found.items() if k not in ("step", "round")}))
            for found in map(json.loads, _lines(self.folder / LOG))
        ]
        for row in csv.DictReader(line.decode() for line in _lines(self.folder / METRICS)):
            numbers = {key: float(value) for key, value in row.items() if value and key != "step"}
            history.append((int(row["step"]), _named("val", numbers)))
        for logger in self.loggers:
            logger.open(Logging(self.folder, self.name, step, history))

    def _drop_after(self, step: int, evaluated: int) -> None:
        log, metrics = self.folder / LOG, self.folder / METRICS
        if log.exists():
            write_whole(log, b"".join(line for line in _lines(log) if step and _step_of(line) <= step))
        if metrics.exists():
            header, *rows = _lines(metrics) or [b""]
            kept = [row for row in rows if evaluated and row.endswith(b"\n") and int(row.split(b",")[0]) <= evaluated]
            if kept:
                write_whole(metrics, b"".join([header, *kept]))
            else:
                metrics.unlink()


def _named(kind: str, values: Values) -> dict[str, float]:
    return {f"{kind}/{name}": value for name, value in values.items() if value is not None}


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _step_of(line: bytes) -> float:
    try:
        values = json.loads(line)
        return float(values["step"]) + ("round" in values) / 2  # what follows a step is written again by what resumes
    except (ValueError, KeyError, TypeError):  # a line that was cut off
        return float("inf")
