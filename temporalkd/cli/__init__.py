"""The command line: one function a command. torch is imported only by the commands that compute."""

from temporalkd.cli import training, stabilize, scoring, inference  # isort: skip  # in the order of the help
from temporalkd.cli.app import app, main, main_of

__all__ = ["app", "inference", "main", "main_of", "scoring", "stabilize", "training"]
