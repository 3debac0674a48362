"""What a run writes about itself: log.jsonl, metrics.csv, TensorBoard events, and the line on the screen."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flow.files import write_whole

Values = Mapping[str, float | int | None]


class RunLog:
    """The records of one run; a context manager. With enabled=False (other processes) it does nothing."""

    def __init__(self, folder: Path, steps: int, name: str, enabled: bool = True):
        self.folder, self.steps, self.name, self.enabled = folder, steps, name, enabled
        self.console = Console(stderr=True)
        self._progress: Progress | None = None
        self._board: Any = None
        self._last_line = 0.0

    def open(self, step: int) -> RunLog:
        """Start, or go on at `step`: records of later steps, of a run that was cut off, are dropped."""
        if not self.enabled:
            return self
        self._drop_after(step)
        try:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._board = SummaryWriter(str(self.folder), purge_step=step)
        except ImportError:
            self._board = None
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
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
        if self._board:
            self._board.close()

    def step(self, step: int, values: Values | None) -> None:
        """A step is done; `values` where it is one that is recorded."""
        if not self.enabled:
            return
        note = ""
        if values is not None:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
            self._to_board("train", step, values)
            note = f"loss {values.get('loss', float('nan')):.3f}"
        if self._progress:
            self._progress.update(self._task, completed=step)
            if note:
                self._progress.update(self._task, note=note)
        elif values is not None and (time.monotonic() - self._last_line > 10 or step == self.steps):
            self._last_line = time.monotonic()
            pace = (self._last_line - self._started) / max(step - self._first, 1)
            left = (self.steps - step) * pace
            print(f"{self.name}: step {step}/{self.steps}  {note}  {left / 60:.1f} min left", file=sys.stderr)

    def round(self, step: int, number: int, values: Values) -> None:
        """A round of training has ended: a line of log.jsonl of its own."""
        if not self.enabled:
            return
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "round": number, **values}) + "\n")
        self._to_board("train", step, values)

    def evaluation(self, step: int, values: Values) -> None:
        """A row of metrics.csv."""
        if not self.enabled:
            return
        path = self.folder / "metrics.csv"
        row = {"step": step, **values}
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        self._to_board("val", step, values)
        shown = "  ".join(f"{k} {v:.2f}" for k, v in values.items() if v is not None)
        self.console.print(f"{self.name}: step {step}  {shown}", highlight=False)

    def _to_board(self, kind: str, step: int, values: Values) -> None:
        if self._board:
            for key, value in values.items():
                if value is not None:
                    self._board.add_scalar(f"{kind}/{key}", value, step)

    def _drop_after(self, step: int) -> None:
        log, metrics = self.folder / "log.jsonl", self.folder / "metrics.csv"
        if log.exists():
            lines = [line for line in log.read_text().splitlines() if _step_of(line) <= step]
            _rewrite(log, "".join(line + "\n" for line in lines) if step else "")
        if metrics.exists():
            header, *rows = metrics.read_text().splitlines()
            kept = [r for r in rows if int(r.split(",")[0]) <= step] if step else []
            if kept:
                _rewrite(metrics, "\n".join([header, *kept]) + "\n")
            else:
                metrics.unlink()


def _step_of(line: str) -> float:
    try:
        values = json.loads(line)
        return float(values["step"]) + ("round" in values) / 2  # what follows a step is written again by what resumes
    except (ValueError, KeyError, TypeError):  # a line that was cut off
        return float("inf")


def _rewrite(path: Path, text: str) -> None:
    write_whole(path, text.encode())
