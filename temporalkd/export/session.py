"""A student in an ONNX file, run by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.export.exported import ExportedStudent
from temporalkd.export.packages import require_export

_INPUT = "frames float32 (1, 3, H, W) in [0, 1]"


class OnnxStudent(ExportedStudent):
    """A graph of `temporalkd export`, run by ONNX Runtime.

    Args:
        file: the .onnx file, or what it holds.
        name: of the graph, for messages; default the file.
        threads: of one frame; default torch's.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not a readable ONNX file, or one of other inputs or outputs; ONNX Runtime is not installed.
    """

    def __init__(self, file: Path | bytes, name: str = "", threads: int | None = None):
        require_export("onnxruntime")
        import onnxruntime

        self.name = name or str(file if isinstance(file, Path) else "the graph")
        if isinstance(file, Path) and not file.is_file():
            raise FileNotFoundError(f"{file}: no such .onnx file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = str(file) if isinstance(file, Path) else file
        try:
            # Its fallback, to the provider that has just failed, prints to stdout.
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's own have no base class but this
            reason = " ".join(str(error).split())[:160]
            raise ValueError(f"{self.name} is not a readable ONNX file: {reason}") from error
        self.size = self._require_ours()

    def _require_ours(self) -> tuple[int, int] | None:
        """(H, W) that it takes, None: any."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        takes = ", ".join(f"{i.name} {i.type} {tuple(i.shape)}" for i in inputs)
        remedy = "write it with temporalkd export"
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or inputs[0].shape[:2] != [1, 3]:
            raise ValueError(f"{self.name} takes {takes}, expected {_INPUT}: {remedy}")
        given = [(o.type, len(o.shape)) for o in outputs]
        if given not in ([("tensor(float)", 4)], [("tensor(uint8)", 3)]):
            gives = ", ".join(f"{o.name} {o.type} {tuple(o.shape)}" for o in outputs)
            raise ValueError(f"{self.name} gives {gives}, expected logits (1, C, H, W) or uint8 (1, H, W): {remedy}")
        self._input = inputs[0].name
        self.gives_logits = given[0][0] == "tensor(float)"
        height, width = inputs[0].shape[2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def card(self) -> dict[str, Any]:
        """What `temporalkd export` wrote into the file about its network; empty in files of other tools."""
        written = self._session.get_modelmeta().custom_metadata_map.get("temporalkd", "{}")
        found: dict[str, Any] = json.loads(written)
        return found

    def compute(self, frames: Tensor) -> NDArray[Any]:
        """See ExportedStudent."""
        (out,) = self._session.run(None, {self._input: frames.numpy()})
        return np.asarray(out)
