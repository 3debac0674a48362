"""Weights & Biases, offline unless asked otherwise."""

from __future__ import annotations

from typing import Any, Literal

from temporalkd.loggers.base import LoggerOptions, Logging, Values, register


class WandBLogger:
    """One run of wandb a run folder; a resumed run goes on under the same id."""

    def __init__(self, options: WandB):
        self.options = options

    def open(self, run: Logging) -> None:
        import wandb

        known = run.identity("wandb")
        self._run: Any = wandb.init(
            project=self.options.project,
            entity=self.options.entity,
            tags=self.options.tags,
            mode=self.options.mode,
            name=run.name,
            dir=str(run.folder),
            id=known,
            resume="allow" if known else None,
        )
        run.identity("wandb", str(self._run.id))
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Values) -> None:
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()


@register
class WandB(LoggerOptions):
    """mode "offline" writes into the run's folder, "wandb sync" uploads it; "online" needs an account."""

    name: Literal["wandb"] = "wandb"
    project: str = "temporalkd"
    entity: str | None = None
    tags: list[str] = []
    mode: Literal["offline", "online"] = "offline"

    def make(self) -> WandBLogger:
        self.require("wandb")
        return WandBLogger(self)
