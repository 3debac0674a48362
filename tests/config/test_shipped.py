"""The configs that are shipped: all pass the check, and each takes one step on tiny copies of its data."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image

import flow as optical_flow
from temporalkd.config import Config, load
from temporalkd.data.camvid import CamVid
from temporalkd.data.camvid_neighbours import add_neighbours, find_videos
from temporalkd.data.camvid_release import convert, splits_of, stills_of
from temporalkd.data.images import ImageFiles
from temporalkd.experiments import run
from temporalkd.experiments.scoring import Scorer
from temporalkd.models import ModelSpec, build, save_segmenter
from tests import tiny
from tests.config.test_config import CONFIGS, ROOT, ids
from tests.fake_data import fake_camvid_release, fake_cityscapes, fake_voc, fake_vspw

CLASSES = {"street": 9, "camvid": 11, "full": 11, "cityscapes": 19, "voc": 21, "vspw": 124}
SIZE = (48, 64)
SHALLOW = {"tu-resnet101": "tu-resnet18", "mit_b2": "mit_b0"}
SHORT = [f"training.{value}" for value in ("steps=1", "batch=2", "workers=0", "accelerator=cpu", "log_every=1")]
SHORT += ["training.gradient_norms_every=0", "student.encoder_weights=null", "data.crop=[40, 48]"]
STREET = [f"data.{split}.{value}" for split in ("train", "val") for value in ("count=1", "length=4", "size=[48, 64]")]
OWN_TERMS = {
    "baseline": {"cross_entropy"},
    "kd": {"pixel_kl"},
    "fckd": {"condensation"},
    "multilevel": {"low", "middle", "pixel_kl", "high", "consistency"},
    "i2ckd": {"pixel_kl", "prototype_triplet", "prototype_triplet/student_inter"},
    "stckd": {"pixel_kl", "intra_affinity_first", "intra_affinity_second", "teacher_residual", "adversarial/critic"},
    "footage": {"pixel_kl", "mean_teacher"},
    "selfcorrecting": {"correction", "collaboration", "pixel_kl", "intra_affinity"},
    "etc": {"pixel_kl", "intra_affinity", "inter_affinity", "recurrent_dependency", "motion_consistency"},
}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root: tiny footage of every data set, and weights of a tiny network for every number of classes."""
    folder = tmp_path_factory.mktemp("root")
    data = folder / "data"
    for split in ("train", "val", "test"):
        fake_cityscapes(data / "cityscapes", split, 1 if split == "val" else 2, SIZE, 3)
    fake_vspw(data / "vspw", {"train": 1, "val": 1, "test": 1}, 3, SIZE)
    fake_voc(data / "voc", {"train_aug": 2, "val": 1}, SIZE)
    (data / "voc" / "unlabelled").mkdir()
    for number, width in enumerate((64, 72)):
        Image.new("RGB", (width, 48)).save(data / "voc" / "unlabelled" / f"{number}.jpg")
    tiny.fake_camvid(data / "camvid", {"train": 3, "val": 3}, SIZE)
    for classes in set(CLASSES.values()):
        spec = ModelSpec(tiny.ARCHITECTURE, classes, roles=dict(tiny.ROLES))
        save_segmenter(build(spec), spec, folder / f"{classes}.safetensors", {})
    return folder


@pytest.fixture(autouse=True)
def quick(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the step itself, on the data root, with a flow network that needs no weights."""
    monkeypatch.setattr(run, "_cost", lambda *_: "")
    monkeypatch.setattr(optical_flow, "build", lambda kind, *_, **__: optical_flow.ZeroFlow())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEMPORALKD_DATA", str(root))
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))


@cache
def with_their_own_network() -> set[Path]:
    """A config of each student's network, that with terms on most features; all others train a tiny one."""
    chosen: dict[str, Path] = {}
    for path in sorted(CONFIGS, key=lambda path: path.stem != "multilevel"):
        student = load(path).student
        chosen.setdefault(f"{student.architecture} {student.arguments}", path)
    return set(chosen.values())


TINY = {"architecture": tiny.ARCHITECTURE, "roles": tiny.ROLES, "normalisation": {"divisor": 8}}


def one_step(path: Path, root: Path, *more: str) -> tuple[Config, dict[str, float]]:
    """Train for a step in the working folder; the config and the values of the step."""
    given = load(path)
    named = {"teacher": given.teacher, "second_teacher": given.second_teacher}
    named["student"] = given.student if given.student.weights else None
    weights = root / f"{CLASSES[path.parent.name]}.safetensors"
    short = [*SHORT, *(STREET if path.parent.name == "street" else [])]
    short += [f"student={json.dumps(TINY)}"] if path not in with_their_own_network() else []
    short += [f"{key}.weights={weights}" for key, section in named.items() if section]
    short += ["method.fit=2", "training.steps=2"] if given.method.name == "selfcorrecting" else []
    if given.data.unlabelled is not None and given.data.unlabelled.dataset == "street":
        short += [f"data.unlabelled.{value}" for value in ("count=1", "length=4", "size=[48, 64]")]
    if given.data.val is not None and getattr(given.data.val, "frames", None) is not None:
        short += ["data.val.frames=[1, null]"]
        short += ["data.unlabelled.frames=[0, 1]"] if given.data.unlabelled is not None else []
    short += ["data.semi.labelled=0.5"] if given.data.semi is not None else []
    encoder = given.student.arguments.get("encoder_name")
    if encoder in SHALLOW and path in with_their_own_network():
        short += [f"student.arguments.encoder_name={SHALLOW[encoder]}"]
    config = load(path, [*short, *more])
    run.train(config, Path("run"), say=lambda line: None, score=False)
    rows = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    return config, next(row for row in rows if "round" not in row)


@pytest.mark.parametrize("path", CONFIGS, ids=ids)
def test_each_takes_a_step(path: Path, root: Path) -> None:
    config, values = one_step(path, root)
    own = OWN_TERMS[config.method.name] | {str(term.name or term.term) for term in config.method.terms}
    assert {"cross_entropy", *own} <= values.keys()
    assert Scorer(config, torch.device("cpu"), classes=CLASSES[path.parent.name]).footage.sources


@pytest.mark.parametrize("name", ["teacher", "baseline", "baseline-deeplabv3"])
def test_published_networks_keep_stride_8(name: str) -> None:
    section = load(ROOT / "configs" / "cityscapes" / f"{name}.yaml").student
    network = build(ModelSpec(str(section.architecture), 19, section.arguments)).eval()
    with torch.no_grad():
        prediction = network(torch.rand(1, 3, 64, 96))
    assert prediction.native.shape == (1, 19, 8, 12)
    parts = {"teacher": (2048, 49), "baseline": (512, 12), "baseline-deeplabv3": (512, 16)}
    assert prediction.features["low"][-1].shape == (1, parts[name][0], 8, 12), "all four stages of the encoder are used"
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == parts[name][1]


def test_teachers_are_what_a_teacher_config_trains() -> None:
    for path in (path for path in CONFIGS if path.parent.name in ("cityscapes", "voc", "vspw", "full")):
        config = load(path)
        for section, name in ((config.teacher, "teacher"), (config.second_teacher, "teacher-segformer")):
            if section is not None:
                trained = load(path.with_name(f"{name}.yaml")).name
                assert section.weights == f"runs/{trained}/student.safetensors", path


def test_unlabelled_frames_of_cityscapes(root: Path) -> None:
    one_step(ROOT / "configs/cityscapes/etc.yaml", root, "data.unlabelled={dataset: cityscapes, split: test}")


def test_real_neighbours_of_camvid(root: Path, tmp_path: Path) -> None:
    release, data = fake_camvid_release(tmp_path / "release", {"0006R0": -1}, size=SIZE), tmp_path / "camvid"
    splits = splits_of(list(stills_of(release)))
    convert(release, data, splits)
    add_neighbours(release, data, splits, find_videos(release / "videos"))
    assert all(isinstance(source, ImageFiles) for source in CamVid(root=str(data)).open().sources)
    _, values = one_step(ROOT / "configs/camvid/full/etc.yaml", root, f"data.train.root={data}")
    assert values["motion_consistency"] > 0
