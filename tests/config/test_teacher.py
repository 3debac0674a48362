"""Teachers of a config: of a library, and of other classes than the data's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from temporalkd.config import ConfigError, build, parse
from temporalkd.data.street import CLASSES
from temporalkd.models import MappedClasses, ModelSpec, save_segmenter
from temporalkd.models import build as build_network
from tests import tiny

NAMES = (*reversed(CLASSES[:6]), "zeppelin")


def config(**teacher: Any) -> Any:
    street = {"dataset": "street", "count": 1, "length": 3, "size": [48, 64]}
    return parse(
        {
            "name": "taught",
            "data": {"train": street, "frames": 1},
            "student": {"architecture": tiny.ARCHITECTURE, "roles": tiny.ROLES},
            "teacher": teacher,
            "method": {"name": "kd"},
            "training": {"steps": 1},
        },
        "test",
    )


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEMPORALKD_IMPORT", tiny.ARCHITECTURE)
    spec = ModelSpec(tiny.ARCHITECTURE, len(NAMES), class_names=NAMES)
    torch.manual_seed(0)
    save_segmenter(build_network(spec), spec, tmp_path / "t.safetensors", {})
    return str(tmp_path / "t.safetensors")


def test_classes_are_joined_by_name(weights: str) -> None:
    made = config(weights=weights)
    teacher = build.teacher(made, build.training_footage(made))
    assert isinstance(teacher, MappedClasses)
    assert teacher.targets == (5, 4, 3, 2, 1, 0, None) and teacher.classes == len(CLASSES)


def test_another_order_of_the_same_classes_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORALKD_IMPORT", tiny.ARCHITECTURE)
    spec = ModelSpec(tiny.ARCHITECTURE, len(CLASSES), class_names=(CLASSES[1], CLASSES[0], *CLASSES[2:]))
    save_segmenter(build_network(spec), spec, tmp_path / "t.safetensors", {})
    made = config(weights=str(tmp_path / "t.safetensors"))
    teacher = build.teacher(made, build.training_footage(made))
    assert isinstance(teacher, MappedClasses) and teacher.targets == (1, 0, *range(2, len(CLASSES)))
    told = capsys.readouterr().err
    assert "another order" in told and f"{CLASSES[1]} 0 -> 1" in told and CLASSES[2] not in told


def test_classes_by_a_table_of_the_config(weights: str) -> None:
    made = config(weights=weights, classes={"zeppelin": CLASSES[8], 0: 1})
    teacher = build.teacher(made, build.training_footage(made))
    assert isinstance(teacher, MappedClasses) and teacher.targets == (1, *[None] * 5, 8)
    wrong = config(weights=weights, classes={"airship": CLASSES[8]})
    with pytest.raises(ConfigError, match=r"teacher\.classes.*airship"):
        build.teacher(wrong, build.training_footage(wrong))


def test_segformer_of_other_classes_from_its_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4, "depths": [1] * 4, "decoder_hidden_size": 16}
    named = transformers.SegformerConfig(id2label=dict(enumerate(NAMES)), **sizes)
    transformers.SegformerForSemanticSegmentation(named).save_pretrained(tmp_path)
    processor = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    made = config(weights=f"hf:{tmp_path}")
    teacher = build.teacher(made, build.training_footage(made))
    assert teacher is not None and teacher(torch.rand(1, 3, 48, 64)).logits.shape == (1, len(CLASSES), 48, 64)
