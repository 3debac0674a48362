"""Networks that are not ours go the whole way: made steady, saved, loaded again, exported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import temporalkd as tkd
from temporalkd.data.selection import select
from temporalkd.data.source import Source
from temporalkd.data.street import Street
from temporalkd.experiments.stabilize import Stabilized
from temporalkd.export import OnnxStudent, card_of, onnx_graph, parity
from temporalkd.models import ModelSpec, Segmenter

SIZE = (48, 64)
ONE_SIZE = (256, 256)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def camera() -> Source:
    (part,) = select(Street(3, 5, SIZE, fps=5.0), [(0, 5)])
    return part


class Aux(nn.Module):
    """As torchvision's: a dict with the logits and those of an auxiliary head; BatchNorm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.5))
        self.classifier, self.aux_classifier = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone(x)
        heads = {"out": self.classifier(features), "aux": self.aux_classifier(features)}
        return {name: nn.functional.interpolate(value, x.shape[-2:]) for name, value in heads.items()}


class WithLogits(nn.Module):
    """As those of transformers: an object with .logits, at a quarter of the input's size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 7, 4, 3), nn.GELU(), nn.Conv2d(8, 4, 1))

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=None, logits=self.body(pixel_values))


class Portrait(nn.Module):
    """One channel, of a person, from a picture of 256x256 and no other."""

    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.body, self.sigmoid = nn.Sequential(nn.Conv2d(3, 6, 3, 4, 1), nn.ReLU(), nn.Conv2d(6, 1, 3, 1, 1)), sigmoid

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != ONE_SIZE:
            raise ValueError(f"{tuple(x.shape)}: another size")
        mask = nn.functional.interpolate(self.body(x), ONE_SIZE, mode="bilinear")
        return mask.sigmoid() if self.sigmoid else mask


def through(net: nn.Module, fresh: nn.Module, camera: Source, folder: Path, **wrapped: Any) -> Stabilized:
    """Made steady; what comes back is the same module with other weights, and so is what is read from its file."""
    torch.nn.init.normal_(next(iter(net.parameters())), std=0.5)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    settings: dict[str, Any] = {"steps": 2, "batch": 2, "flow": "dis", "film": False, "accelerator": "cpu", "lr": 1e-2}
    settings |= {"scales": (1.0,), "tell": lambda line: None}
    done = tkd.stabilize(net, camera, out=folder, **wrapped, **settings)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items()), "the one given stays"
    assert type(done.network.network) is type(net)
    after = done.network.network.state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in after.items())
    frames = torch.rand(1, 3, *SIZE)
    again = tkd.load(done.weights, into=fresh)
    with torch.no_grad():
        found, expected = again(frames).logits, done.network(frames).logits
    assert expected.shape == (1, wrapped["classes"], *SIZE)
    torch.testing.assert_close(found, expected)
    return done


def exported(segmenter: Segmenter) -> None:
    """ONNX Runtime says what the network says."""
    pytest.importorskip("onnxscript")
    card = card_of(ModelSpec("mine", segmenter.classes, normalisation=segmenter.normalisation), SIZE, argmax=False)
    graph = OnnxStudent(onnx_graph(segmenter, card).SerializeToString(), "mine.onnx")
    assert parity(segmenter, graph, [torch.rand(1, 3, *SIZE)]).holds


def test_a_dict_of_logits(camera: Source, tmp_path: Path) -> None:
    net = Aux()
    done = through(net, Aux(), camera, tmp_path / "steady", classes=4, normalisation="imagenet")
    norm, steady = net.backbone[1], done.network.network.backbone[1]  # type: ignore[index, union-attr]
    assert torch.equal(steady.running_mean, norm.running_mean), "BatchNorm keeps its statistics"  # type: ignore
    exported(done.network)


def test_an_object_with_logits(camera: Source, tmp_path: Path) -> None:
    done = through(WithLogits(), WithLogits(), camera, tmp_path / "steady", classes=4, normalisation="imagenet")
    exported(done.network)


def test_a_network_of_transformers(camera: Source, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"depths": [1] * 4, "hidden_sizes": [8] * 4, "decoder_hidden_size": 8, "num_attention_heads": [1] * 4}
    config = transformers.SegformerConfig(num_labels=4, **sizes)
    make = transformers.SegformerForSemanticSegmentation
    through(make(config), make(config), camera, tmp_path / "steady", classes=4, normalisation="imagenet")


@pytest.mark.parametrize("outputs", ["probabilities", "logits"])
def test_a_portrait_network_of_one_channel_and_one_size(camera: Source, tmp_path: Path, outputs: Any) -> None:
    sigmoid = outputs == "probabilities"
    wrapped: dict[str, Any] = {"classes": 2, "outputs": outputs, "input_size": ONE_SIZE, "normalisation": "none"}
    done = through(Portrait(sigmoid), Portrait(sigmoid), camera, tmp_path / "steady", **wrapped)
    again = tkd.load(done.weights, into=Portrait(sigmoid))
    assert again.input_size == ONE_SIZE and again.outputs.kind == outputs
    pytest.importorskip("onnxscript")
    with pytest.raises(ValueError, match="resize the frames outside, and export it alone"):
        exported(done.network)
    frames, path = torch.rand(1, 3, *ONE_SIZE), tmp_path / "alone.onnx"
    torch.onnx.export(done.network.network, (frames,), path, dynamo=False)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: frames.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), done.network.network(frames), atol=1e-4, rtol=1e-3)
