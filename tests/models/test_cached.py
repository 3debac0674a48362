"""A teacher with its logits on disk says what it would say anyway, and computes each frame once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from flow.store import Store
from temporalkd.config import ConfigError, parse
from temporalkd.experiments import run
from temporalkd.methods import Method, Weighted
from temporalkd.methods.etc import etc
from temporalkd.methods.spatial_terms import PixelKL
from temporalkd.models import CachedTeacher, freeze
from tests import tiny
from tests.tiny import SIZE, clip, segmenter


def store(folder: Path) -> Store:
    return Store(folder, 2**30, "teacher cache")


def test_what_is_kept_is_what_the_network_says_of_each_frame_alone(tmp_path: Path) -> None:
    network = freeze(segmenter())
    frames = torch.rand(3, 3, 45, 61)
    for _ in range(2):
        teacher = CachedTeacher(network, store(tmp_path))
        for order in ([0, 1], [2, 1, 0]):
            said = teacher(frames[order])
            assert torch.equal(said.native, torch.cat([network(frames[t, None]).native for t in order]))
            assert said.logits.shape == (len(order), network.classes, 45, 61) and not said.features
    assert (teacher.hits, teacher.misses) == (5, 0), "the second object computes nothing"


def test_other_weights_frames_and_precisions_never_meet(tmp_path: Path) -> None:
    frame = torch.rand(1, 3, *SIZE)
    networks = [freeze(segmenter(seed=seed)) for seed in (0, 1)]
    for network in networks:
        for seen in (frame, frame.flip(-1)):
            teacher = CachedTeacher(network, store(tmp_path))
            assert torch.equal(teacher(seen).native, network(seen).native) and teacher.misses == 1
    teacher = CachedTeacher(networks[0], store(tmp_path))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = teacher(frame).native
    assert teacher.misses == 1 and coarse.dtype == torch.float32 and not torch.equal(coarse, teacher(frame).native)


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    network, frame = freeze(segmenter()), torch.rand(1, 3, *SIZE)
    CachedTeacher(network, store(tmp_path))(frame)
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    entry.write_bytes(entry.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="teacher cache: .*is not usable and is computed again"):
        assert torch.equal(CachedTeacher(network, store(tmp_path))(frame).native, network(frame).native)


def test_terms_that_read_other_features_are_refused(tmp_path: Path) -> None:
    teacher = CachedTeacher(segmenter(), store(tmp_path))
    method = Method(segmenter(seed=1), [Weighted("pixel_kl", PixelKL())], teacher)
    assert method.losses(method.step(clip(1)))["pixel_kl"] > 0
    with pytest.raises(ValueError, match=r"no feature of role 'head', it has: logits"):
        Method(segmenter(seed=1), etc(), teacher, frames=3)


def values_of(folder: Path, method: str, cached: bool, **data: Any) -> dict[str, Any]:
    values = tiny.config(folder, method)
    values["data"] |= data
    values["teacher"] |= {"cached": cached}
    values["training"] |= {"gradient_norms_every": 0, "batch": 1}  # one frame a batch rounds as each frame alone
    return values


@pytest.mark.parametrize("method", ["etc", "stckd"])
def test_training_is_the_same_with_it(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without; and to the bit the same whether the folder was empty before or not."""
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))
    options: dict[str, Any] = {"etc": {"feature": "logits"}, "stckd": {"feature": "logits"}}.get(method, {})
    curves = {}
    for name, cached in (("plain", False), ("cold", True), ("warm", True)):
        values = values_of(tmp_path, method, cached)
        values["method"] |= options
        run.train(parse(values, "test"), tmp_path / name, say=lambda line: None, score=False)
        rows = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        curves[name] = [[row[key] for key in row if key not in ("seconds", "waited")] for row in rows]
    assert curves["cold"] == curves["warm"]
    for cold, plain in zip(curves["cold"], curves["plain"], strict=True):
        assert cold == pytest.approx(plain, rel=1e-4, abs=1e-6)
    assert (tmp_path / "cache" / "teacher").is_dir()


@pytest.mark.parametrize("data", [{"crop": [32, 32]}, {"scale": [0.5, 1]}, {"jitter": 0.2}], ids=str)
def test_frames_that_do_not_come_again_are_refused(data: dict[str, Any], tmp_path: Path) -> None:
    (key,) = data
    with pytest.raises(ConfigError, match=rf"teacher\.cached: .*data\.{key} is|data\.{key} "):
        run.train(parse(values_of(tmp_path, "kd", True, **data), "test"), tmp_path / "run", say=lambda line: None)
    assert not (tmp_path / "run").exists()
