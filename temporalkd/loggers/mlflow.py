"""MLflow, in a local store unless a server is named."""

from __future__ import annotations

from typing import Any, Literal

from temporalkd.loggers.base import LoggerOptions, Logging, Values, register


class MLflowLogger:
    """One run of MLflow a run folder; a resumed run goes on under the same id."""

    def __init__(self, options: MLflow):
        self.options = options

    def open(self, run: Logging) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(self.options.tracking_uri or f"sqlite:///{run.folder.resolve()}/mlflow.db")
        self._id = run.identity("mlflow")
        if self._id is None:
            found = self._client.get_experiment_by_name(self.options.experiment)
            experiment = found.experiment_id if found else self._client.create_experiment(self.options.experiment)
            self._id = run.identity("mlflow", self._client.create_run(experiment, run_name=run.name).info.run_id)
        else:
            self._client.update_run(self._id, status="RUNNING")

    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


@register
class MLflow(LoggerOptions):
    """tracking_uri: of a server or store; None: mlflow.db in the run's folder."""

    name: Literal["mlflow"] = "mlflow"
    experiment: str = "temporalkd"
    tracking_uri: str | None = None

    def make(self) -> MLflowLogger:
        self.require("mlflow")
        return MLflowLogger(self)
