"""Students as files of ONNX, torch.export and OpenVINO: the graph, its integer form, and running one."""

from temporalkd.export.exported import ExportedStudent
from temporalkd.export.formats import EXPORTED, open_exported
from temporalkd.export.graph import Card, card_of, onnx_graph
from temporalkd.export.int8 import float_layers, quantised
from temporalkd.export.openvino import write_openvino
from temporalkd.export.packages import require_export
from temporalkd.export.parity import Parity, parity
from temporalkd.export.program import pt2_program
from temporalkd.export.session import OnnxStudent
from temporalkd.export.teacher import OnnxNetwork, open_onnx

__all__ = [
    "EXPORTED",
    "Card",
    "ExportedStudent",
    "OnnxNetwork",
    "OnnxStudent",
    "Parity",
    "card_of",
    "float_layers",
    "onnx_graph",
    "open_exported",
    "open_onnx",
    "parity",
    "pt2_program",
    "quantised",
    "require_export",
    "write_openvino",
]
