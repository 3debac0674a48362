"""The command line: one module per command; what computes, and so imports torch, stands in `work`."""

from temporalkd.cli import (  # isort: skip  # in the order of the help
    demo, train, stabilize, evaluate, consistency, predict, render, report, export, compare, verify, download,
    config, doctor,
)  # fmt: skip
from temporalkd.cli.app import app, main, main_of

__all__ = [
    "app",
    "compare",
    "config",
    "consistency",
    "demo",
    "doctor",
    "download",
    "evaluate",
    "export",
    "main",
    "main_of",
    "predict",
    "render",
    "report",
    "stabilize",
    "train",
    "verify",
]
