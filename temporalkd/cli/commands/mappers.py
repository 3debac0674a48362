"""What gives class maps alone: a trained network, or its ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch

from temporalkd.cli.commands.systems import load_system
from temporalkd.evaluation import ClassMapper, frames_at_once
from temporalkd.export import OnnxStudent
from temporalkd.models import Classifier


def load_mapper(path: Path, precision: str = "fp32", compiled: bool = False) -> ClassMapper:
    """Of a run folder, a .safetensors file with its json, or an .onnx file.

    Raises:
        ValueError: options of networks for an .onnx file, which is computed as it was exported.
    """
    if path.suffix != ".onnx":
        segmenter, _ = load_system(path)
        return Classifier(segmenter, precision == "bf16", compiled)
    if precision != "fp32" or compiled:
        raise ValueError(f"{path} is computed as it was exported: --precision and --compile are for networks")
    return OnnxStudent(path, threads=torch.get_num_threads() // frames_at_once(OnnxStudent.device))
