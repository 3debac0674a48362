"""Students as ONNX files: the graph, its integer form, and running one."""

from temporalkd.export.graph import Card, card_of, onnx_graph
from temporalkd.export.int8 import quantised
from temporalkd.export.packages import require_export
from temporalkd.export.parity import Parity, parity
from temporalkd.export.session import OnnxStudent
from temporalkd.export.teacher import OnnxNetwork, open_onnx

__all__ = [
    "Card",
    "OnnxNetwork",
    "OnnxStudent",
    "Parity",
    "card_of",
    "onnx_graph",
    "open_onnx",
    "parity",
    "quantised",
    "require_export",
]
