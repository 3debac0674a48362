"""A student as an OpenVINO model, for processors, graphics and neural units of Intel."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from temporalkd.export.exported import ExportedStudent
from temporalkd.export.graph import KEY, Card
from temporalkd.export.packages import require_export


def write_openvino(model: Any, card: Card, out: Path) -> None:
    """Write an onnx.ModelProto of `onnx_graph` as OUT.xml, with its weights in OUT.bin; fp32, or int8 as the graph is.

    Raises:
        ValueError: openvino is not installed.
    """
    require_export("openvino")
    import openvino

    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(model.SerializeToString())
        converted = openvino.convert_model(file)
    converted.set_rt_info(json.dumps(asdict(card)), KEY)
    openvino.save_model(converted, out, compress_to_fp16=False)


class OpenVinoStudent(ExportedStudent):
    """An OUT.xml of `temporalkd export` with its OUT.bin, run by OpenVINO on the CPU in fp32 or int8.

    Raises:
        FileNotFoundError: no such file.
        ValueError: openvino is not installed, or it cannot read the file.
    """

    def __init__(self, file: Path, name: str = "", threads: int | None = None):
        require_export("openvino")
        import openvino

        self.name = name or str(file)
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such .xml file")
        settings = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        try:
            model = openvino.Core().read_model(file)
            self._compiled = openvino.compile_model(model, "CPU", settings)
        except Exception as error:
            raise ValueError(f"{self.name}: OpenVINO cannot read it: {' '.join(str(error).split())[:160]}") from error
        self._card = json.loads(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else {}
        shape = model.input().get_partial_shape()
        self.size = (shape[2].get_length(), shape[3].get_length()) if shape.is_static else None
        self.gives_logits = len(model.output().get_partial_shape()) == 4

    def card(self) -> dict[str, Any]:
        """See ExportedStudent."""
        return dict(self._card)

    def compute(self, frames: Tensor) -> NDArray[Any]:
        """See ExportedStudent; every call has a request of its own, so that threads do not share one."""
        found = self._compiled.create_infer_request().infer([frames.numpy()])
        return np.array(found[0])
