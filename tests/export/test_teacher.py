"""An ONNX file as a teacher: it says what the network says, and is frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import temporalkd as tkd
from temporalkd.export import card_of, onnx_graph, open_onnx
from temporalkd.models import fingerprint
from tests import tiny

pytest.importorskip("onnx", reason="needs temporalkd[export]")
pytest.importorskip("onnxruntime", reason="needs temporalkd[export]")
SIZE = (48, 64)


def written(folder: Path, argmax: bool = False, seed: int = 0) -> Path:
    network = tiny.segmenter(4, seed=seed).eval()
    file = folder / f"{seed}.onnx"
    file.write_bytes(
        onnx_graph(network, card_of(replace(tiny.spec(4), class_names=tuple("abcd")), SIZE, argmax)).SerializeToString()
    )
    return file


def test_it_says_what_the_network_says_and_teaches(tmp_path: Path) -> None:
    network = tiny.segmenter(4).eval()
    teacher = tkd.load_teacher(written(tmp_path))
    assert teacher.network.class_names == tuple("abcd")
    frames = torch.rand(2, 3, *SIZE)
    torch.testing.assert_close(teacher(frames).logits, network(frames).logits, rtol=1e-3, atol=1e-4)
    student = tiny.segmenter(4, seed=1)
    out = tkd.methods.kd(student, teacher).training_step(
        torch.rand(2, 1, 3, 40, 56), torch.zeros(2, 40, 56, dtype=torch.long)
    )  # of another size: frames are resized for the graph
    out.loss.backward()
    assert float(out.terms["pixel_kl"]) > 0


def test_another_file_is_another_teacher(tmp_path: Path) -> None:
    first, second = (open_onnx(written(tmp_path, seed=seed)) for seed in (0, 1))
    assert fingerprint(first) != fingerprint(second)


def test_class_maps_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without --argmax"):
        open_onnx(written(tmp_path, argmax=True))
