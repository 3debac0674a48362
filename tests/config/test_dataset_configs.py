"""The configs of the published data sets, run for two steps on tiny generated copies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import flow as optical_flow
from temporalkd.config import load
from temporalkd.data.camvid import CamVid
from temporalkd.data.camvid_neighbours import add_neighbours, find_videos
from temporalkd.data.camvid_release import convert, splits_of, stills_of
from temporalkd.data.image_folder import ImageFiles
from temporalkd.experiments import run
from temporalkd.models import ModelSpec, build, save_segmenter
from tests import tiny
from tests.config.test_config import CONFIGS, ROOT, TINY, expected_terms, ids
from tests.fake_data import fake_camvid_release, fake_cityscapes, fake_voc, fake_vspw, opened

CLASSES = {"cityscapes": 19, "voc": 21, "vspw": 124, "full": 11}
SIZE = (48, 64)
SHALLOW = {"tu-resnet101": "tu-resnet18", "mit_b2": "mit_b0"}
SMALL = [*TINY, "data.crop=[40, 48]", "student.encoder_weights=null"]


def copy_of(name: str, data: Path, snippet: int = 3) -> None:
    """Tiny footage of the data set below the data root's data/."""
    if name == "cityscapes":
        for split in ("train", "val"):
            fake_cityscapes(data / name, split, 1 if split == "val" else 2, SIZE, snippet)
    elif name == "vspw":
        fake_vspw(data / name, {"train": 1, "val": 1}, 3, SIZE)
    elif name == "voc":
        fake_voc(data / name, {"train_aug": 2, "val": 1}, SIZE)
    else:
        tiny.fake_camvid(data / "camvid", {"train": 3, "val": 3}, SIZE)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root's data/, a working folder of the test's own, and a flow network without weights."""
    monkeypatch.setattr("temporalkd.training.trainer.FIT_CLIPS", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))
    # The weights of the evaluation's flow network are not there: the files are read, the motion is not.
    monkeypatch.setattr(optical_flow, "build", lambda kind, *_, **__: optical_flow.ZeroFlow())
    return tmp_path / "root" / "data"


def two_steps(path: Path, *more: str) -> dict[str, float]:
    """Run a config in the working folder; the values of its last step."""
    # The ResNet-101 is built and run by a test of its own.
    encoder = load(path).student.arguments.get("encoder_name")
    shallow = [f"student.arguments.encoder_name={SHALLOW[encoder]}"] if encoder in SHALLOW else []
    config = load(path, [*SMALL, *shallow, *more])
    spec = ModelSpec(tiny.ARCHITECTURE, CLASSES[path.parent.name], roles=dict(tiny.ROLES))
    for teacher in (config.teacher, config.second_teacher):
        if teacher is not None:
            save_segmenter(build(spec), spec, Path(str(teacher.weights)), {})
    rows = run.train(config, Path("run"), say=lambda line: None)
    systems = [row.system for row in rows]
    assert systems[: 1 + (config.teacher is not None)] == ["student", "teacher"][: 1 + (config.teacher is not None)]
    assert rows[0]["miou"] is not None and rows[0]["consistency"] is not None
    assert load(Path("run/config.yaml")) == config and load_file("run/student.safetensors")
    last = json.loads(Path("run/log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 and expected_terms(config) <= last.keys()
    return last


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.parent.name in CLASSES], ids=ids)
def test_configs_run(path: Path, data: Path) -> None:
    copy_of(path.parent.name, data)
    two_steps(path)


@pytest.mark.parametrize("name", ["teacher", "baseline", "baseline-deeplabv3"])
def test_published_networks_keep_stride_8(name: str) -> None:
    section = load(ROOT / "configs" / "cityscapes" / f"{name}.yaml").student
    network = build(ModelSpec(str(section.architecture), 19, section.arguments)).eval()
    with torch.no_grad():
        prediction = network(torch.rand(1, 3, 64, 96))
    assert prediction.native.shape == (1, 19, 8, 12) and prediction.logits.shape == (1, 19, 64, 96)
    parts = {"teacher": (2048, 49), "baseline": (512, 12), "baseline-deeplabv3": (512, 16)}
    assert prediction.features["low"][-1].shape == (1, parts[name][0], 8, 12), "all four stages of the encoder are used"
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == parts[name][1]


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.parent.name in CLASSES], ids=ids)
def test_teachers_are_what_a_teacher_config_trains(path: Path) -> None:
    config = load(path)
    for section, name in ((config.teacher, "teacher"), (config.second_teacher, "teacher-segformer")):
        if section is not None:
            assert section.weights == f"runs/{load(path.with_name(f'{name}.yaml')).name}/student.safetensors"


def test_etc_on_stills_of_cityscapes(data: Path) -> None:
    copy_of("cityscapes", data, snippet=0)
    assert two_steps(ROOT / "configs/cityscapes/etc.yaml")["motion_consistency"] > 0


def test_unlabelled_frames_of_cityscapes(data: Path) -> None:
    copy_of("cityscapes", data)
    fake_cityscapes(data / "cityscapes", "test", 1, SIZE, 3)
    two_steps(ROOT / "configs/cityscapes/etc.yaml", "data.unlabelled={dataset: cityscapes, split: test}")


def test_etc_on_real_neighbours_of_camvid(data: Path, tmp_path: Path) -> None:
    release = fake_camvid_release(tmp_path / "release", {"0006R0": -1}, size=SIZE)
    splits = splits_of(list(stills_of(release)))
    convert(release, data / "camvid", splits)
    add_neighbours(release, data / "camvid", splits, find_videos(release / "videos"))
    assert all(isinstance(source, ImageFiles) for source in opened(CamVid, data / "camvid").sources)
    two_steps(ROOT / "configs/camvid/full/etc.yaml", "data.val={dataset: camvid, split: train}")
