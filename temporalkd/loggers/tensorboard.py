"""TensorBoard events in the run's folder, where tensorboard is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

from temporalkd.loggers.base import LoggerOptions, Logging, Values, register, replayed


class TensorBoardLogger:
    """Begins the events anew from the records: what a killed process had yet to write of them is lost."""

    _board: Any = None

    def open(self, run: Logging) -> None:
        if find_spec("tensorboard") is None:
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        for path in run.folder.glob("events.out.tfevents.*"):
            path.unlink()
        self._board = SummaryWriter(str(run.folder))
        for step, values in replayed(run):
            self.log(step, values)

    def log(self, step: int, values: Values) -> None:
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._board:
            self._board.close()


@register
class TensorBoard(LoggerOptions):
    """The default; without the package tensorboard nothing is written."""

    name: Literal["tensorboard"] = "tensorboard"

    def make(self) -> TensorBoardLogger:
        return TensorBoardLogger()
