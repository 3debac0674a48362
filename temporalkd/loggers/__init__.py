"""Where the values of a training go beside the run's own log.jsonl and metrics.csv."""

from temporalkd.loggers.base import (
    LOGGERS,
    ImportedLogger,
    Logger,
    LoggerOptions,
    Logging,
    Values,
    make_logger,
    register,
)
from temporalkd.loggers.csv_file import CSV
from temporalkd.loggers.mlflow import MLflow
from temporalkd.loggers.tensorboard import TensorBoard
from temporalkd.loggers.wandb import WandB

__all__ = [
    "CSV",
    "LOGGERS",
    "ImportedLogger",
    "Logger",
    "LoggerOptions",
    "Logging",
    "MLflow",
    "TensorBoard",
    "Values",
    "WandB",
    "make_logger",
    "register",
]
