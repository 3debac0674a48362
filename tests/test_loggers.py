"""Loggers: each gets every value once, goes on with a resumed run, and has its options checked."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from temporalkd.config import ConfigError
from temporalkd.config.schema import Training
from temporalkd.loggers import Logger, Logging, MLflow, WandB, make_logger
from temporalkd.training.log import RunLog


class Kept:
    """Keeps what it is given."""

    def __init__(self, label: str = "") -> None:
        self.label, self.calls = label, list[Any]()

    def open(self, run: Logging) -> None:
        self.calls.append(("open", run.step, run.history))

    def log(self, step: int, values: Any) -> None:
        self.calls.append((step, dict(values)))

    def close(self) -> None:
        self.calls.append("close")


def logged(folder: Path, loggers: list[Any], first: int = 0) -> None:
    log = RunLog(folder, 9, "run", loggers=loggers).open(first, first)
    for step in (first + 1, first + 2):
        log.step(step, {"loss": 1.0 / step})
    log.evaluation(first + 2, {"miou": 50.0, "consistency": None})
    log.close()


def test_each_gets_what_is_recorded_and_what_was_before(tmp_path: Path) -> None:
    first, second = Kept(), Kept()
    assert isinstance(first, Logger)
    logged(tmp_path, [first])
    assert first.calls == [
        ("open", 0, []), (1, {"train/loss": 1.0}), (2, {"train/loss": 0.5}), (2, {"val/miou": 50.0}), "close",
    ]  # fmt: skip
    logged(tmp_path, [second], first=2)
    assert second.calls[0] == ("open", 2, first.calls[1:-1])
    assert [call[0] for call in second.calls[1:-1]] == [3, 4, 4]


def test_other_processes_log_nothing(tmp_path: Path) -> None:
    kept = Kept()
    log = RunLog(tmp_path, 9, "run", enabled=False, loggers=[kept]).open(0, 0)
    log.step(1, {"loss": 1.0})
    log.close()
    assert kept.calls == []


def test_csv_has_a_row_for_each_value_and_is_whole_after_a_resume(tmp_path: Path) -> None:
    logged(tmp_path, ["csv"])
    logged(tmp_path, ["csv"], first=2)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [(row["step"], row["name"]) for row in rows] == [
        ("1", "train/loss"), ("2", "train/loss"), ("2", "val/miou"),
        ("3", "train/loss"), ("4", "train/loss"), ("4", "val/miou"),
    ]  # fmt: skip
    assert float(rows[2]["value"]) == 50


def test_mlflow_has_all_values_of_a_resumed_run_in_one(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    for first in (0, 2):
        logged(tmp_path, [MLflow()], first)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("temporalkd").experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert run.info.status == "FINISHED"


def test_wandb_writes_offline_and_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logged(tmp_path, [WandB()])
    known = json.loads((tmp_path / "wandb.json").read_text())["id"]
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert folder.name.endswith(known) and (folder / f"run-{known}.wandb").stat().st_size > 0
    logged(tmp_path, [WandB()], first=2)
    assert json.loads((tmp_path / "wandb.json").read_text())["id"] == known


def test_a_config_names_them_or_spells_them_out() -> None:
    given = ["csv", {"name": "wandb", "project": "streets"}, "tests.test_loggers:Kept"]
    options = Training(steps=1, loggers=given).loggers
    assert [each.name for each in options] == ["csv", "wandb", "import"]
    with pytest.raises(ValueError, match="projekt"):
        Training(steps=1, loggers=[{"name": "wandb", "projekt": "streets"}])


def test_loggers_that_cannot_be_made_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_IMPORT", "tests.test_loggers")
    monkeypatch.setattr("temporalkd.loggers.base.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="'tensor', expected one of"):
        make_logger("tensor")
    with pytest.raises(ConfigError, match=r"temporalkd\[wandb\]"):
        make_logger("wandb")
    assert isinstance(make_logger("tests.test_loggers:Kept"), Logger)
    with pytest.raises(ConfigError, match="expected open, log and close"):
        make_logger({"name": "import", "import": "tests.test_loggers:Path"})
