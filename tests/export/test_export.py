"""Students as ONNX files: they say what the network says, at any size, and are not there when they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from temporalkd import export
from temporalkd.data.image_folder import open_frames
from temporalkd.data.label_maps import read_map
from temporalkd.export import Parity, card_of, onnx_graph, parity
from temporalkd.models import ModelSpec, Segmenter, build, load_segmenter
from tests import tiny
from tests.cli_support import LENGTH, SIZE, World, results, write_frames

onnx = pytest.importorskip("onnx", reason="needs temporalkd[export]")
pytest.importorskip("onnxruntime", reason="needs temporalkd[export]")

SMP = "segmentation_models_pytorch."
SAME_PADDING: dict[str, Any] = {
    "encoder_name": "tu-tf_mobilenetv3_small_minimal_100",
    "encoder_depth": 3,
    "upsampling": 2,
    "decoder_pyramid_channels": 16,
    "decoder_segmentation_channels": 32,
}


def short_segformer(classes: int) -> nn.Module:
    """With an attention block in the first stage, which shortens its keys, and one in the last, which does not."""
    network = smp.Segformer("mit_b0", encoder_weights=None, classes=classes, decoder_segmentation_channels=16)
    for stage, count in ((1, 1), (2, 0), (3, 0), (4, 1)):
        blocks = getattr(network.encoder, f"block{stage}")
        setattr(network.encoder, f"block{stage}", blocks[:count])
    return network


def student(model: Any, name: str = "graph") -> export.OnnxStudent:
    return export.OnnxStudent(model.SerializeToString(), name, threads=1)


def shaken(spec: ModelSpec) -> Segmenter:
    """A network whose statistics are not those of a new one, so that no class wins everywhere."""
    torch.manual_seed(1)
    segmenter = build(spec).train()
    with torch.no_grad():
        for _ in range(3):
            segmenter(torch.rand(2, 3, 64, 64))
    return segmenter.eval()


def agree(segmenter: Segmenter, model: Any, *sizes: tuple[int, int]) -> None:
    found = parity(segmenter, student(model), [torch.rand(1, 3, *size) for size in sizes])
    assert found.holds, found
    assert found.difference is None or found.difference < 1e-4


def test_a_graph_of_one_size() -> None:
    size = (53, 61)
    model = onnx_graph(tiny.segmenter().eval(), card_of(tiny.spec(), size, argmax=False))
    agree(tiny.segmenter().eval(), model, size)
    assert student(model).size == size


@pytest.mark.parametrize("argmax", [False, True])
def test_a_graph_of_any_size(argmax: bool) -> None:
    model = onnx_graph(tiny.segmenter().eval(), card_of(tiny.spec(), None, argmax))
    agree(tiny.segmenter().eval(), model, (48, 64), (53, 61), (8, 200), (1, 1))
    assert student(model).size is None


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        (SMP + "FPN", SAME_PADDING),
        (SMP + "Unet", {"encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}),
        ("tests.export.test_export:short_segformer", {}),
        (SMP + "DeepLabV3", {"encoder_name": "tu-resnet10t", "encoder_output_stride": 8, "decoder_channels": 32}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_students_of_the_kinds_in_the_configs_at_any_size(architecture: str, arguments: dict[str, Any]) -> None:
    spec = ModelSpec(architecture, 5, arguments)
    segmenter, frame = shaken(spec), torch.rand(1, 3, 64, 64)
    before = segmenter(frame)
    agree(segmenter, onnx_graph(segmenter, card_of(spec, None, False)), (64, 96), (53, 61), (97, 33))
    after = segmenter(frame)
    assert torch.equal(before.logits, after.logits) and after.features.keys() == before.features.keys()
    assert all(p.requires_grad for p in segmenter.parameters()), "the network is left as it was"


def test_eight_bit_integers_are_near() -> None:
    segmenter, size = tiny.segmenter().eval(), (48, 64)
    frames = [torch.rand(1, 3, *size) for _ in range(4)]
    plain = onnx_graph(segmenter, card_of(tiny.spec(), size, False))
    model = export.quantised(plain, card_of(tiny.spec(), size, False, int8=True), frames)
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    found = parity(segmenter, student(model), frames)
    assert found.difference is not None and 0 < found.difference < 0.2 and found.agreement > 80
    assert len(plain.metadata_props) == len(model.metadata_props) == 1


def test_the_command_writes_a_checked_file_that_describes_itself(world: World, call: Any) -> None:
    _, err = call("export", world.run, "-o", "new/student.onnx")
    assert "ONNX Runtime and the network: logits within" in err and "100.000 % of the pixels agree" in err
    assert "wrote new/student.onnx" in err and "a frame of 64x80: ONNX Runtime" in err
    assert [path.name for path in Path("new").iterdir()] == ["student.onnx"]
    model = onnx.load("new/student.onnx")
    onnx.checker.check_model(model, full_check=True)
    card = json.loads(next(entry.value for entry in model.metadata_props if entry.key == "temporalkd"))
    _, spec = load_segmenter(world.run / "student.safetensors")
    assert card["size"] == list(SIZE) and card["classes"] == 9 and not card["argmax"] and not card["int8"]
    assert card["class_names"] == list(spec.class_names) and card["mean"] == list(spec.normalisation.mean)
    assert card["version"] == model.producer_version and model.producer_name == "temporalkd"


@pytest.mark.parametrize("options", [[], ["--dynamic", "--argmax"]])
def test_predict_runs_the_file_and_writes_the_same_maps(world: World, call: Any, options: list[str]) -> None:
    call("export", world.run / "student.safetensors", "--size", "64x80", "-o", "student.onnx", *options)
    call("predict", "student.onnx", world.frames, "-o", "by-onnx")
    call("predict", world.run, world.frames, "-o", "by-torch")
    names = sorted(path.name for path in Path("by-torch").iterdir())
    assert len(names) == LENGTH and names == sorted(path.name for path in Path("by-onnx").iterdir())
    for name in names:
        ours, theirs = (read_map(Path(folder) / name, classes=9) for folder in ("by-onnx", "by-torch"))
        assert (ours == theirs).float().mean() > 0.999


def test_int8_from_a_video(world: World, call: Any) -> None:
    options = ["--int8", "--calibrate", world.folder / "video.mp4"]
    _, err = call("export", world.run, "-o", "int8.onnx", *options)
    assert "8 bit and the network: logits within" in err
    call("predict", "int8.onnx", world.frames, "-o", "maps")
    assert len(list(Path("maps").iterdir())) == len(open_frames(world.frames))


@pytest.mark.parametrize("suffix", ["pt2", "xml"])
def test_other_formats_give_the_same_maps_and_are_scored(world: World, call: Any, suffix: str) -> None:
    if suffix == "xml":
        pytest.importorskip("openvino", reason="needs temporalkd[openvino]")
    out = Path(f"student.{suffix}")
    _, err = call("export", world.run / "student.safetensors", "--size", "64x80", "-o", out)
    assert "100.000 % of the pixels agree" in err and out.is_file()
    found = export.open_exported(out)
    assert found.size == SIZE and found.gives_logits and found.card()["class_names"]
    call("predict", out, world.frames, "-o", "by-file")
    call("predict", world.run, world.frames, "-o", "by-torch")
    for path in sorted(Path("by-torch").iterdir()):
        assert torch.equal(read_map(path), read_map(Path("by-file") / path.name))
    scored = call("consistency", out, world.run, "--frames", world.frames, "--flow", "dis", "--json")
    by_file, by_torch = results(scored[0])
    assert by_file["warp_error"] == pytest.approx(by_torch["warp_error"], abs=1e-3)
    wide = write_frames(Path("wide"), size=(64, 96), length=2)
    _, err = call("predict", out, wide / "frames", "-o", "wide-maps", code=1)
    assert "takes 64x80 alone" in err


def test_formats_refuse_what_they_cannot_do(world: World, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = call("export", world.run, "-o", "student.pt2", "--dynamic", code=1)
    assert "--dynamic" in err and not Path("student.pt2").exists()
    _, err = call("export", world.run, "-o", "student.tflite", code=1)
    assert ".onnx, .pt2, .xml" in err
    Path("broken.pt2").write_bytes(b"nothing")
    _, err = call("predict", "broken.pt2", world.frames, "-o", "maps", code=1)
    assert "broken.pt2 is not a readable .pt2 file" in err
    _, err = call("--no-import", "predict", "broken.pt2", world.frames, "-o", "maps", code=1)
    assert "refused by --no-import" in err


def test_a_graph_that_says_something_else_is_not_left_behind(
    world: World, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temporalkd.cli.work.export.parity", lambda *_: Parity(0.5, 99.0))
    _, err = call("export", world.run, "-o", "new/student.onnx", code=1)
    assert "new/student.onnx is not written" in err
    assert not Path("new").exists()


def test_a_layer_that_suffers_from_integers_stays_in_float() -> None:
    """A weight of 1000 on a channel that is always 0 leaves one step for all others of that layer."""
    torch.manual_seed(0)
    weights = [torch.randn(8, 3, 3, 3), torch.randn(8, 8, 1, 1), torch.randn(8, 8, 1, 1), torch.randn(5, 8, 1, 1)]
    weights[1][0], weights[2][:, 0] = 0, 1000
    helper, nodes, before = onnx.helper, [], "frames"
    for number in range(4):
        after = "logits" if number == 3 else f"x{number}"
        pads = [1, 1, 1, 1] if number == 0 else [0, 0, 0, 0]
        nodes.append(helper.make_node("Conv", [before, f"w{number}"], [after], name=f"layer{number}", pads=pads))
        before = after
    frames, logits = (helper.make_tensor_value_info(n, 1, [1, c, 32, 48]) for n, c in (("frames", 3), ("logits", 5)))
    tensors = [onnx.numpy_helper.from_array(weight.numpy(), f"w{n}") for n, weight in enumerate(weights)]
    graph = helper.make_graph(nodes, "graph", [frames], [logits], tensors)
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    shown = [torch.rand(1, 3, 32, 48) for _ in range(4)]
    made = export.quantised(plain, card_of(tiny.spec(), (32, 48), False, int8=True), shown)
    assert export.float_layers(made) == (["layer2"], 4)
    whole, small = student(plain), student(made)
    agreement = [float((whole.run(f).argmax(1) == small.run(f).argmax(1)).mean()) for f in shown]
    assert min(agreement) > 0.9, agreement
