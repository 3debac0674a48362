"""Exports that cannot be made, and ONNX files that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from temporalkd.data.image_folder import open_frames
from temporalkd.export import card_of, onnx_graph
from tests import tiny
from tests.bad_input.support import Cases, must_be_refused, predict, write_map_file
from tests.cli_support import World

onnx = pytest.importorskip("onnx", reason="needs temporalkd[export]")
pytest.importorskip("onnxruntime", reason="needs temporalkd[export]")

case = Cases()


def graph(tmp: Path, takes: Any) -> Path:
    """A file with one Identity: what it takes is what it gives."""
    info = onnx.helper.make_tensor_value_info("frames", *takes)
    out = onnx.helper.make_tensor_value_info("out", *takes)
    made = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["frames"], ["out"])], "g", [info], [out])
    opsets = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(made, opset_imports=opsets, ir_version=9), tmp / "student.onnx")
    return tmp / "student.onnx"


def export(tmp: Path, system: Path, *more: object) -> list[Any]:
    return ["export", system, "-o", tmp / "out.onnx", *more]


@case(2, "student.safetensors is a checkpoint, not a run folder, and says no size: --size HxW")
def unknown_size(world: World, tmp: Path) -> list[Any]:
    return export(tmp, world.run / "student.safetensors")


@case(2, "--size '360': expected HEIGHTxWIDTH")
def half_a_size(world: World, tmp: Path) -> list[Any]:
    return export(tmp, world.run, "--size", "360")


@case(2, "--size '0x80': expected HEIGHTxWIDTH")
def empty_size(world: World, tmp: Path) -> list[Any]:
    return export(tmp, world.run, "--size", "0x80")


@case(2, "--int8 and --calibrate FRAMES belong together")
def int8_without_frames(world: World, tmp: Path) -> list[Any]:
    return export(tmp, world.run, "--int8")


@case(1, "nowhere.mp4: no such folder or file")
def calibration_that_is_not_there(world: World, tmp: Path) -> list[Any]:
    return export(tmp, world.run, "--int8", "--calibrate", tmp / "nowhere.mp4")


@case(1, "out.onnx exists: name a new file with -o")
def existing_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "out.onnx").write_text("mine")
    return export(tmp, world.run)


@case(1, "student.pt: expected a file that ends in .onnx")
def another_ending(world: World, tmp: Path) -> list[Any]:
    return ["export", world.run, "-o", tmp / "student.pt"]


@case(1, "nowhere: no such run folder or .safetensors file")
def missing_student(world: World, tmp: Path) -> list[Any]:
    return export(tmp, tmp / "nowhere")


@case(1, "nowhere.onnx: no such .onnx file")
def missing_graph(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, tmp / "nowhere.onnx")


@case(1, "student.onnx is not a readable ONNX file")
def damaged_graph(world: World, tmp: Path) -> list[Any]:
    path = graph(tmp, (onnx.TensorProto.FLOAT, [1, 3, 64, 80]))
    path.write_bytes(path.read_bytes()[:-20])
    return predict(world, tmp, path)


@case(1, "student.onnx is not a readable ONNX file")
def text_as_graph(world: World, tmp: Path) -> list[Any]:
    (tmp / "student.onnx").write_text("no graph")
    return predict(world, tmp, tmp / "student.onnx")


@case(
    1, r"student.onnx takes frames tensor\(int64\) \(1, 3, 64, 80\), expected frames float32 \(1, 3, H, W\) in \[0, 1\]"
)
def graph_of_another_input(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, graph(tmp, (onnx.TensorProto.INT64, [1, 3, 64, 80])))


@case(1, r"student.onnx gives out tensor\(float\) \(1, 3\), expected logits")
def graph_of_another_output(world: World, tmp: Path) -> list[Any]:
    path = graph(tmp, (onnx.TensorProto.FLOAT, [1, 3, 64, 80]))
    model = onnx.load(path)
    model.graph.node[0].op_type = "ReduceMax"
    model.graph.node[0].input.append("axes")
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("keepdims", 0))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3]), "axes"))
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    onnx.save(model, path)
    return predict(world, tmp, path)


@case(1, r"student.onnx gives \(1, 3, 32, 40\) of a frame of 64x80, expected classes at its size")
def graph_whose_logits_are_smaller_than_the_frame(world: World, tmp: Path) -> list[Any]:
    path = graph(tmp, (onnx.TensorProto.FLOAT, [1, 3, "height", "width"]))
    model = onnx.load(path)
    node = onnx.helper.make_node("MaxPool", ["frames"], ["out"], kernel_shape=[2, 2], strides=[2, 2])
    model.graph.node[0].CopyFrom(node)
    del model.graph.output[0].type.tensor_type.shape.dim[2:]
    for name in ("rows", "columns"):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = name
    onnx.save(model, path)
    return predict(world, tmp, path)


@case(1, "frames/000.png is 64x80 .*, .*student.onnx takes 48x64 alone: export with --size 64x80 or --dynamic")
def frames_of_another_size_than_the_graph(world: World, tmp: Path) -> list[Any]:
    model = onnx_graph(tiny.segmenter().eval(), card_of(tiny.spec(), (48, 64), argmax=False))
    onnx.save(model, tmp / "student.onnx")
    return predict(world, tmp, tmp / "student.onnx")


@case(1, "frames/002.png is 64x81 .*, .*student.onnx takes 64x80 alone")
def one_frame_of_another_size(world: World, tmp: Path) -> list[Any]:
    model = onnx_graph(tiny.segmenter().eval(), card_of(tiny.spec(), (64, 80), argmax=False))
    onnx.save(model, tmp / "student.onnx")
    (tmp / "frames").mkdir()
    for index, frame in enumerate(open_frames(world.frames).frames()):
        values = np.zeros((64, 81, 3)) if index == 2 else frame.permute(1, 2, 0).numpy()
        write_map_file(tmp / f"frames/{index:03d}.png", values)
    return ["predict", tmp / "student.onnx", tmp / "frames", "-o", tmp / "out"]


@case(1, "student.onnx is computed as it was exported: --precision and --compile are for networks")
def options_of_networks_for_a_graph(world: World, tmp: Path) -> list[Any]:
    return [*predict(world, tmp, graph(tmp, (onnx.TensorProto.FLOAT, [1, 3, 64, 80]))), "--precision", "bf16"]


@case(1, "out exists: name a new folder with -o")
def predictions_that_are_there(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").mkdir()
    (tmp / "out/mine.png").write_text("mine")
    return predict(world, tmp, world.run)


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
