"""A graph in 8 bit integers: ranges taken from frames, the layers that suffer most left in float."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import Tensor

from temporalkd.export.graph import Card, described
from temporalkd.export.session import OnnxStudent

LARGEST = "largest_float"
LAYERS = ("Conv", "MatMul", "Gemm")
AVERAGING = 0.05
"""Weight of a frame's extremes in their moving average."""
JUDGED = 8
"""Frames on which the agreement with the float graph is measured."""
ENOUGH = 99.5
"""Per cent of the pixels that are to have the class of the float graph."""
MOST_IN_FLOAT = 0.25
"""Share of the layers that may stay in float."""


def quantised(model: Any, card: Card, frames: Sequence[Tensor]) -> Any:
    """Static quantisation of convolutions and matrix products: weights by channel, activations by their range.

    A tensor's range is the mean of the least and greatest values of each frame, so that one outlier does not make all
    others coarse. Weights have 7 bits, so that sums of products fit into 16 bits on processors without VNNI. Each layer
    is quantised alone, and the share of pixels that change their class is its cost. Then the most costly layers stay in
    float, twice as many each time, until the graph agrees with the float graph on ENOUGH of the pixels.

    Args:
        model: onnx.ModelProto of `onnx_graph`.
        card: what the 8 bit file says about itself.
        frames: (1, 3, H, W) in [0, 1], of a size that the graph takes; 64 or more say enough about the ranges.
    Source:
        ONNX Runtime's static quantisation, QDQ form, with its moving average of extremes.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as folder, _quiet():
        plain, prepared = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        base = onnx.load(prepared)
        ranges = _ranges(prepared, Path(folder) / "calibrated.onnx", frames)
    layers = [node.name for node in base.graph.node if node.op_type in LAYERS]

    def with_layers(names: Collection[str]) -> Any:
        copied = onnx.ModelProto()
        copied.CopyFrom(base)
        kinds = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
        with _quiet():
            made = quantization.QDQQuantizer(copied, True, True, *kinds, ranges, list(names), [], list(LAYERS), {})
            made.quantize_model()
        return _guarded(made.model.model)

    chosen = _chosen(layers, with_layers, base, frames[:: max(1, len(frames) // JUDGED)][:JUDGED])
    return described(with_layers(chosen), card)


def float_layers(model: Any) -> tuple[list[str], int]:
    """Names of the layers of an 8 bit graph that are in float, and the number of all."""
    integer = {out for node in model.graph.node if node.op_type == "DequantizeLinear" for out in node.output}
    layers = [node for node in model.graph.node if node.op_type in LAYERS]
    return [node.name for node in layers if node.input[1] not in integer], len(layers)


def _guarded(model: Any) -> Any:
    """Layers in float, each behind a minimum that changes nothing.

    Between two integer layers ONNX Runtime would quantise their weights after all, with one scale for all channels.
    """
    from onnx import helper, numpy_helper

    left, _ = float_layers(model)
    if not left:
        return model
    model.graph.initializer.append(numpy_helper.from_array(np.array(np.finfo(np.float32).max), LARGEST))
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.name in left:
            given, node.output[0] = node.output[0], f"{node.output[0]}_float"
            nodes.append(helper.make_node("Min", [node.output[0], LARGEST], [given], name=f"{node.name}_float"))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _ranges(model: Path, scratch: Path, frames: Sequence[Tensor]) -> Any:
    """Of every tensor that a layer reads or writes; frame by frame, since ONNX Runtime keeps all that it is given."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, frame: Tensor) -> None:
            self.rest: Iterator[Tensor] = iter([frame])

        def get_next(self) -> dict[str, Any] | None:
            frame = next(self.rest, None)
            return None if frame is None else {"frames": frame.numpy()}

    calibrator = quantization.create_calibrator(
        model,
        list(LAYERS),
        augmented_model_path=str(scratch),
        calibrate_method=quantization.CalibrationMethod.MinMax,
        extra_options={"moving_average": True, "averaging_constant": AVERAGING},
    )
    for frame in frames:
        calibrator.collect_data(Reader(frame))
    return calibrator.compute_data()


def _chosen(
    layers: Sequence[str], with_layers: Callable[[Collection[str]], Any], model: Any, frames: Sequence[Tensor]
) -> list[str]:
    """The layers to be quantised."""
    truth = _classes(model, frames)

    def agreement(names: Collection[str], count: int) -> float:
        return 100 * float((_classes(with_layers(names), frames[:count]) == truth[:count]).mean())

    if agreement(layers, len(frames)) >= ENOUGH:
        return list(layers)
    costly = sorted(layers, key=lambda name: agreement([name], 2))
    kept = 1
    while kept < MOST_IN_FLOAT * len(layers) and agreement(costly[kept:], len(frames)) < ENOUGH:
        kept *= 2
    left = set(costly[: min(kept, int(MOST_IN_FLOAT * len(layers)))])
    return [name for name in layers if name not in left]


def _classes(model: Any, frames: Sequence[Tensor]) -> Any:
    """(frames, H, W), the class of each pixel."""
    student = OnnxStudent(model.SerializeToString(), "the graph")
    found = [student.run(frame)[0] for frame in frames]
    return np.stack([out.argmax(0) if student.gives_logits else out for out in found])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
