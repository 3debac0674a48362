"""Students as ONNX files: the graph, its integer form, and running one."""

from temporalkd.export.graph import Card, card_of, onnx_graph
from temporalkd.export.int8 import quantised
from temporalkd.export.packages import require_export
from temporalkd.export.parity import Parity, parity
from temporalkd.export.session import OnnxStudent

__all__ = ["Card", "OnnxStudent", "Parity", "card_of", "onnx_graph", "parity", "quantised", "require_export"]
