"""log.csv in the run's folder: a row for each value."""

from __future__ import annotations

import csv
from typing import Literal, TextIO

from temporalkd.loggers.base import LoggerOptions, Logging, Values, register, replayed


class CSVLogger:
    """Columns step, name, value: methods have different terms, and evaluations other values than steps."""

    _file: TextIO

    def open(self, run: Logging) -> None:
        self._file = (run.folder / "log.csv").open("w", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(["step", "name", "value"])
        for step, values in replayed(run):
            self.log(step, values)

    def log(self, step: int, values: Values) -> None:
        self._rows.writerows([step, name, value] for name, value in values.items())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@register
class CSV(LoggerOptions):
    """All values in log.csv; metrics.csv, of evaluations alone, is written in any case."""

    name: Literal["csv"] = "csv"

    def make(self) -> CSVLogger:
        return CSVLogger()
