"""A graph in 8 bit integers, its ranges taken from frames."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from temporalkd.export.graph import Card, described


def quantised(model: Any, card: Card, frames: Sequence[Tensor]) -> Any:
    """Static quantisation of convolutions and matrix products: weights by channel, activations by their range.

    Args:
        model: onnx.ModelProto of `onnx_graph`.
        card: what the 8 bit file says about itself.
        frames: (1, 3, H, W) in [0, 1], of a size that the graph takes.
    Source:
        ONNX Runtime's quantize_static, QDQ form.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(frames)

        def get_next(self) -> dict[str, Any] | None:
            frame = next(self.rest, None)
            return None if frame is None else {"frames": frame.numpy()}

    logging.disable(logging.WARNING)
    try:
        with (
            TemporaryDirectory() as folder,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            plain, prepared, written = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
            onnx.save(model, plain)
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                written,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "MatMul", "Gemm"],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            found = onnx.load(written)
    finally:
        logging.disable(logging.NOTSET)
    return described(found, card)
