"""The formats of `temporalkd export`, by the suffix of the file."""

from __future__ import annotations

from pathlib import Path

from temporalkd.export.exported import ExportedStudent
from temporalkd.export.openvino import OpenVinoStudent
from temporalkd.export.program import Pt2Student
from temporalkd.export.session import OnnxStudent

EXPORTED = (".onnx", ".pt2", ".xml")
"""ONNX, torch.export and OpenVINO."""


def open_exported(file: Path, name: str = "", threads: int | None = None) -> ExportedStudent:
    """An exported student, to be run on the CPU.

    Args:
        name: for messages; default the file.
        threads: of one frame; default torch's, which .pt2 always has.
    Raises:
        FileNotFoundError, ValueError: not such a file, or its runtime is not installed.
    """
    if file.suffix == ".pt2":
        return Pt2Student(file, name)
    return (OpenVinoStudent if file.suffix == ".xml" else OnnxStudent)(file, name, threads)
