"""Readers of what people and runs write: configs, lists, palettes, weights, checkpoints, records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from soaks.network import ROLES, Small
from soaks.reader import Reader
from temporalkd.commands.verify import recorded
from temporalkd.config import Config, dump, load
from temporalkd.data.layout import read_list
from temporalkd.data.palettes import Palette, palette
from temporalkd.export import OnnxStudent
from temporalkd.imports import allow
from temporalkd.models import ModelSpec, Normalisation, Segmenter, load_segmenter, read_spec, save_segmenter
from temporalkd.models.weights import load_weights, read_tensors
from temporalkd.records import read_json, read_lines
from temporalkd.training import checkpoint

CONFIG = """\
name: street
seed: 1
data:
  train: &street {dataset: street, count: 2, length: 6, size: [48, 64]}
  val: {<<: *street, seed: 9}
  frames: 2
  gaps: [1, 3]
student: {architecture: segmentation_models_pytorch.FPN, arguments: {encoder_name: tu-mobilenetv3_small_050}}
method: {name: baseline, terms: [{term: channel_kl, weight: 0.5}]}
training: {steps: 200, batch: 2, lr: 1.0e-3}
"""
OVERRIDES = (
    "training.steps=40\ndata.train.size=[64, 80]\nmethod.class_weight=enet\nname='2026-11-21'\ntraining.lr=5e-4\n"
)


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _override(path: Path) -> Config:
    """A config that is whole, with a damaged override a line."""
    whole = path.with_name("whole.yaml")
    whole.write_text(CONFIG)
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    try:
        return load(whole, lines)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error  # the file is ours: a person names a key


def _is_config(config: Config) -> bool:
    return isinstance(config, Config) and bool(dump(config))


def _is_palette(found: Palette) -> bool:
    return 1 <= len(found) <= 255 and len(found.names) == len(found)


PALETTE = "# road and sky\n128 64 128 road\n#4682b4 sky\n220, 20, 60, person\n0 0 0 void\n"


def _state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3).state_dict()


def _write_checkpoint(folder: Path) -> Path:
    state = dict.fromkeys(checkpoint.KEYS) | {
        "step": 3,
        "players": {"trainee": _state()},
        "rng": [checkpoint.rng_state()],
    }
    checkpoint.save(state, folder / "last.pt")
    return folder / "last.pt"


def _write_pth(folder: Path) -> Path:
    torch.save(_state(), folder / "a.pth")
    return folder / "a.pth"


def _write_safetensors(folder: Path) -> Path:
    save_file(_state(), folder / "a.safetensors")
    return folder / "a.safetensors"


def _load(path: Path) -> dict[str, Tensor]:
    network = nn.Conv2d(3, 4, 3)
    load_weights(network, path)
    return network.state_dict()


def _is_state(found: dict[str, Tensor]) -> bool:
    return {name: (t.shape, t.dtype) for name, t in found.items()} == {
        name: (t.shape, t.dtype) for name, t in _state().items()
    }


def _write_student(folder: Path) -> Path:
    spec = ModelSpec("soaks.network:Small", 3, {"width": 4}, Normalisation(divisor=8), dict(ROLES))
    network = Segmenter(Small(spec.classes, 4), spec.classes, spec.roles, spec.normalisation)
    save_segmenter(network, spec, folder / "student.safetensors", {})
    return folder / "student.safetensors"


def _load_student(path: Path) -> dict[str, Tensor]:
    allow(["soaks.network"])
    return load_segmenter(path)[0].network.state_dict()


def _write_onnx(folder: Path) -> Path:
    """Frames to logits by one convolution."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(_state()["weight"].numpy(), "weight")
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, 3, 8, 9])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 8, 9])
    node = helper.make_node("Conv", ["frames", "weight"], ["logits"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "student", [frames], [logits], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    return folder / "a.onnx"


def _run_onnx(path: Path) -> Tensor:
    return OnnxStudent(path, threads=1)(torch.full((3, 8, 9), 7, dtype=torch.uint8))


def _is_class_map(found: Tensor) -> bool:
    return found.dtype == torch.uint8 and found.ndim == 2


def _is_spec(spec: ModelSpec) -> bool:
    return isinstance(spec.architecture, str) and 1 <= spec.classes <= 255 and len(spec.normalisation.mean) == 3


def _are_rows(rows: list[dict[str, Any]]) -> bool:
    return bool(rows) and all(row["system"] == "student" for row in rows)


ROW = {"system": "student", "protocol": "visible", "flow": "exact", "fingerprint": "", "size": "48x64", "frames": 12}
EVALUATION = {"results": [ROW | {"miou": 61.25, "consistency": 90.5, "warp_error": None}]}
SPEC = {
    "architecture": "segmentation_models_pytorch.FPN", "classes": 9, "arguments": {"encoder_name": "resnet18"},
    "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1], "divisor": 32}, "roles": {"low": ["a", "b"]},
    "class_names": ["road", "sky"], "palette": [[128, 64, 128], [70, 130, 180]],
}  # fmt: skip
LOG = '{"step": 1, "loss": 2.5, "seconds": 0.25}\n{"step": 2, "loss": NaN}\n{"step": 2, "round": 1, "miou": 3.5}\n'
ENVIRONMENT = json.dumps({"torch": "2.15.0", "cpus": 2, "git": None, "dirty": False, "seed": 3}, indent=2)

WRITTEN = (
    Reader("config", _text("a.yaml", CONFIG), load, _is_config),
    Reader("overrides", _text("a.txt", OVERRIDES), _override, _is_config),
    Reader(
        "list", _text("a.txt", "0001TP_f006690\nvideo 7\n\nsub/Seq05VD_f00000.png\n"), lambda p: read_list(p, ""), bool
    ),
    Reader("palette", _text("a.txt", PALETTE), palette, _is_palette),
    Reader("json-palette", _text("a.json", '{"road": [128, 64, 128], "void": [0, 0, 0]}'), palette, _is_palette),
    Reader("checkpoint", _write_checkpoint, checkpoint.load, lambda state: state["step"] == 3, checked=True),
    Reader("pth", _write_pth, read_tensors, _is_state, checked=True),
    Reader("safetensors", _write_safetensors, _load, _is_state),
    Reader("student", _write_student, _load_student, bool, checked=True),
    Reader("onnx", _write_onnx, _run_onnx, _is_class_map),
    Reader("student-json", _text("a.json", json.dumps(SPEC, indent=2)), read_spec, _is_spec),
    Reader("evaluation", _text("evaluation.json", json.dumps(EVALUATION)), lambda p: recorded(p.parent), _are_rows),
    Reader("log", _text("log.jsonl", LOG), read_lines, lambda rows: all(isinstance(row, dict) for row in rows)),
    Reader("environment", _text("environment.json", ENVIRONMENT), read_json, lambda found: isinstance(found, dict)),
)
