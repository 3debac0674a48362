"""The stateful half of every metric: rows of counts, joined over the processes of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from temporalkd.metrics.bootstrap import Measure, Series

_PIECES = 256


class BaseMetric(Metric):
    """Keeps one row of counts per item (frame, pair, window); its measures are functions of their sums.

    Memory: 8 * `width` bytes an item. Under DDP each clip belongs to one process, which feeds it in temporal order.

    Args:
        width: counts in a row.
        measures: name -> measure of a row's counts.
        synced: `compute` joins the rows of all processes of a run; False where one process evaluates alone.
    """

    full_state_update = False
    rows: list[Tensor]
    clips: list[Tensor]

    def __init__(self, width: int, measures: Mapping[str, Measure], synced: bool = True):
        super().__init__(sync_on_compute=synced, compute_with_cache=False)  # a kept answer would leave others waiting
        self.width, self.measures = width, dict(measures)
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.add_state("clips", [], dist_reduce_fx="cat")

    def append(self, row: Tensor, clip: int) -> None:
        """Add an item: (width,), any numeric type."""
        self.rows.append(row.double().view(1, self.width))
        self.clips.append(torch.tensor([clip], device=row.device))
        if len(self.rows) > _PIECES:  # thousands of tiny tensors cost more than what they hold
            self.rows, self.clips = [torch.cat(self.rows)], [torch.cat(self.clips)]

    def items(self) -> tuple[Tensor, Tensor]:
        """(N, width) and (N,): the counts of this process's items, and the clip of each."""
        self._require_rows()
        return dim_zero_cat(self.rows).cpu(), dim_zero_cat(self.clips).cpu()

    def replace(self, parts: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Take the items of several processes, of which each had its own clips, in the order of the clips."""
        rows, clips = (torch.cat(pieces) for pieces in zip(*parts))
        order = clips.argsort(stable=True)
        self.rows, self.clips = [rows[order]], [clips[order]]

    def series(self, name: str) -> Series:
        """The measure over all items of this process."""
        return Series(*self.items(), self.measures[name])

    def compute(self) -> dict[str, Tensor]:
        """Name -> share in 0..1, a scalar or (C,); NaN where not defined."""
        return {name: self.series(name).value() for name in self.measures}

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As Metric.sync, also where a process has seen nothing: rows of equal shape can be gathered."""
        self._require_rows()
        super().sync(*args, **kwargs)

    def _require_rows(self) -> None:
        if isinstance(self.rows, list) and not self.rows:
            self.rows = [torch.zeros(0, self.width, dtype=torch.float64, device=self.device)]
            self.clips = [torch.zeros(0, dtype=torch.long, device=self.device)]
