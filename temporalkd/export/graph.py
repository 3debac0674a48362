"""The ONNX graph of a student: frames in [0, 1] in, logits or classes at their size out."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from temporalkd import __version__
from temporalkd.models import Bare, ModelSpec, Segmenter

OPSET = 20
KEY = "temporalkd"
LARGEST = 16384


@dataclass(frozen=True)
class Card:
    """What the file says about itself, as JSON under the key "temporalkd" of its metadata."""

    architecture: str
    classes: int
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    divisor: int
    size: tuple[int, int] | None
    argmax: bool
    int8: bool = False
    version: str = __version__


def card_of(spec: ModelSpec, size: tuple[int, int] | None, argmax: bool, int8: bool = False) -> Card:
    """Of a network; size (H, W), None: any."""
    n = spec.normalisation
    return Card(
        spec.architecture, spec.classes, spec.class_names, spec.palette, n.mean, n.std, n.divisor, size, argmax, int8
    )


def onnx_graph(segmenter: Segmenter, card: Card) -> Any:
    """The model (onnx.ModelProto): "frames" float32 (1, 3, H, W) in [0, 1] -> "logits" float32 (1, C, H, W), or
    "classes" uint8 (1, H, W) where the card says arg-max. Normalisation and padding are inside.

    torch exports the network for sizes that its divisor divides; padding and cropping, which torch.export cannot do for
    any size, are written here around it.

    Raises:
        ValueError: torch cannot export this network, or it has more classes than uint8 has values.
    """
    import onnx
    from onnx import TensorProto, compose, helper

    if card.argmax and card.classes > 256:
        raise ValueError(f"--argmax gives uint8, which holds 256 classes: this network has {card.classes}")
    if segmenter.input_size is not None:
        raise ValueError(
            "a network with an input_size cannot be exported: resize the frames outside, and export it alone"
        )
    inner = _network(segmenter, card)
    opset, ir = inner.opset_import[0].version, inner.ir_version
    opsets = [helper.make_opsetid("", opset)]
    height, width = card.size or ("height", "width")
    before = helper.make_graph(
        [
            helper.make_node("Sub", ["frames", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["scaled"]),
            helper.make_node("Shape", ["frames"], ["size"], start=2),
            helper.make_node("Neg", ["size"], ["negative"]),
            helper.make_node("Mod", ["negative", "divisor"], ["missing"]),
            helper.make_node("Concat", ["none", "missing"], ["pads"], axis=0),
            helper.make_node("Pad", ["scaled", "pads"], ["padded"]),
        ],
        "before",
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, 3, height, width])],
        [
            helper.make_tensor_value_info("padded", TensorProto.FLOAT, [1, 3, None, None]),
            helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
        ],
        [
            _constant("mean", segmenter.mean.cpu()),
            _constant("std", segmenter.std.cpu()),
            _constant("divisor", torch.tensor([card.divisor])),
            _constant("none", torch.zeros(6, dtype=torch.int64)),
        ],
    )
    cropped = "cropped" if card.argmax else "logits"
    nodes = [helper.make_node("Slice", ["all", "corner", "until", "axes"], [cropped])]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, card.classes, height, width])
    if card.argmax:
        nodes += [
            helper.make_node("ArgMax", [cropped], ["indices"], axis=1, keepdims=0),
            helper.make_node("Cast", ["indices"], ["classes"], to=TensorProto.UINT8),
        ]
        out = helper.make_tensor_value_info("classes", TensorProto.UINT8, [1, height, width])
    after = helper.make_graph(
        nodes,
        "after",
        [
            helper.make_tensor_value_info("all", TensorProto.FLOAT, [1, card.classes, None, None]),
            helper.make_tensor_value_info("until", TensorProto.INT64, [2]),
        ],
        [out],
        [_constant("corner", torch.zeros(2, dtype=torch.int64)), _constant("axes", torch.tensor([2, 3]))],
    )
    first, last = (helper.make_model(g, opset_imports=opsets, ir_version=ir) for g in (before, after))
    inner = compose.add_prefix(inner, "network/")
    entry, answer = inner.graph.input[0].name, inner.graph.output[0].name
    model = compose.merge_models(first, inner, io_map=[("padded", entry)], outputs=["size", answer])
    model = compose.merge_models(model, last, io_map=[(answer, "all"), ("size", "until")])
    domains = {o.domain: o.version for o in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in domains.items())
    onnx.checker.check_model(model)
    return described(model, card)


def described(model: Any, card: Card) -> Any:
    """The model with its card."""
    from onnx import helper

    model.producer_name, model.producer_version = KEY, card.version
    del model.metadata_props[:]
    helper.set_model_props(model, {KEY: json.dumps(asdict(card))})
    return model


def _network(segmenter: Segmenter, card: Card) -> Any:
    """The network between padding and cropping: its size is a multiple of the divisor."""
    divisor = card.divisor
    network: nn.Module = copy.deepcopy(Bare(segmenter)).cpu().eval()
    sides = [-(-side // divisor) * divisor for side in card.size or (3 * divisor, 4 * divisor)]
    shapes = None
    if card.size is None:
        network = _with_constant_padding(network)
        most = LARGEST // divisor
        shapes = (
            {2: divisor * torch.export.Dim("rows", max=most), 3: divisor * torch.export.Dim("columns", max=most)},
        )
    frames = torch.rand(1, 3, *sides).contiguous(memory_format=torch.channels_last)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(network, (frames,), dynamic_shapes=shapes)
            exported = torch.onnx.export(program, (frames,), opset_version=OPSET, dynamo=True, verbose=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        hint = "" if card.size else "; a fixed size (--size HxW, without --dynamic) asks less of it"
        raise ValueError(f"torch cannot export {card.architecture}: {reason}{hint}") from error
    assert exported is not None
    return exported.model_proto


def _with_constant_padding(network: nn.Module) -> nn.Module:
    """TensorFlow's "same" padding depends on the size, which torch.export cannot carry through a network; not so for
    sides that the stride divides, as ours are."""
    from timm.layers import Conv2dSame

    for name, module in list(network.named_modules()):
        if isinstance(module, Conv2dSame):
            needed = [
                max((k - 1) * d + 1 - s, 0) for k, d, s in zip(module.kernel_size, module.dilation, module.stride)
            ]
            (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in needed)
            plain: nn.Module = copy.copy(module)
            plain.__class__ = nn.Conv2d
            network.set_submodule(name, nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain))
    return network


def _constant(name: str, values: Tensor) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(values.numpy(), name)
