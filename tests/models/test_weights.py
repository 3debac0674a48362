"""Weights to disk and back, and files that are not what they should be."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import flow as optical_flow
from temporalkd.data.camvid import CamVid
from temporalkd.evaluation import evaluate, network
from temporalkd.models import build, load_encoder, load_segmenter, load_weights, read_spec, save_segmenter
from temporalkd.models.weights import find_packaged
from temporalkd.paths import PRETRAINED, find, pretrained
from tests.fake_data import opened
from tests.tiny import Tiny, segmenter, spec


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save_segmenter(segmenter(5, seed=3), spec(5), path, {"metrics": [{"miou": 12.5}]})
    return path


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_round_trip_is_bit_for_bit(saved: Path) -> None:
    frames = torch.rand(2, 3, 45, 61)
    expected = segmenter(5, seed=3).eval()(frames).logits
    loaded, described = load_segmenter(saved)
    assert torch.equal(loaded.eval()(frames).logits, expected)
    assert described == spec(5)
    assert not torch.equal(build(spec(5)).eval()(frames).logits, expected)


def test_names_colours_and_every_setting_survive(tmp_path: Path) -> None:
    from dataclasses import replace

    full = replace(spec(3, width=10), class_names=("a", "b", "c"), palette=((1, 2, 3), (4, 5, 6), (7, 8, 9)))
    save_segmenter(segmenter(3, width=10), full, tmp_path / "x.safetensors", {})
    assert read_spec(tmp_path / "x.json") == full


WRAPPED: dict[str, Any] = {
    "plain": lambda own: own,
    "state_dict": lambda own: {"state_dict": own, "epoch": 3},
    "model": lambda own: {"model": own, "optimizer": {}},
    "model_state_dict": lambda own: {"model_state_dict": own},
    "DataParallel": lambda own: {f"module.{name}": tensor for name, tensor in own.items()},
    "compiled": lambda own: {"model": {f"_orig_mod.{name}": tensor for name, tensor in own.items()}},
    "Lightning": lambda own: {"state_dict": {**{f"net.{n}": t for n, t in own.items()}, "loss.weight": torch.ones(5)}},
    "without counters": lambda own: {n: t for n, t in own.items() if not n.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_weights_as_other_trainers_save_them(tmp_path: Path, wrapper: str) -> None:
    source, target = segmenter(5, seed=7).network, Tiny(5)
    torch.save(WRAPPED[wrapper](dict(source.state_dict())), tmp_path / "mine.pth")
    load_weights(target, tmp_path / "mine.pth")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters()))


def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    torch.save({"classifier.weight": Evil(owned)}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil(owned), protocol=2))
    for name in ("evil.pth", "raw.pth"):
        with pytest.raises(ValueError, match=rf"{name} is not a readable \.pth file"):
            load_weights(Tiny(5), tmp_path / name)
    assert not owned.exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert owned.exists(), "the file would have run had it been let"


def damaged(whole: bytes) -> dict[str, bytes]:
    return {"cut": whole[: len(whole) // 2], "head": whole[:5], "empty": b"", "text": b"weights, honestly\n" * 20}


@pytest.mark.parametrize("how", ["cut", "head", "empty", "text"])
def test_damaged_files_are_named(saved: Path, how: str) -> None:
    path = saved.parent / "bad.safetensors"
    path.write_bytes(damaged(saved.read_bytes())[how])
    with pytest.raises(ValueError, match=r"bad\.safetensors is not a readable \.safetensors file"):
        load_weights(Tiny(5), path)
    whole = saved.parent / "whole.pth"
    torch.save(Tiny(5, width=64).state_dict(), whole)
    path = saved.parent / "bad.pth"
    path.write_bytes(damaged(whole.read_bytes())[how])
    with pytest.raises(ValueError, match=r"bad\.pth is not a readable \.pth file"):
        load_weights(Tiny(5), path)


def test_another_class_count_names_the_tensor(saved: Path) -> None:
    with pytest.raises(
        ValueError, match=r"net\.safetensors: 'classifier\.weight' has shape \(5, 8, 1, 1\).*expects \(6, 8, 1, 1\)"
    ):
        load_weights(Tiny(6), saved)
    card = json.loads(saved.with_suffix(".json").read_text())
    saved.with_suffix(".json").write_text(json.dumps(card | {"classes": 6}))
    with pytest.raises(ValueError, match="class count"):
        load_segmenter(saved)


def test_json_missing_broken_or_incomplete(saved: Path) -> None:
    card = saved.with_suffix(".json")
    values = json.loads(card.read_text())
    for content, reason in [
        ("{not json", "net.json: not json"),
        ("[1, 2]", "net.json: expected a json object"),
        (json.dumps({k: v for k, v in values.items() if k != "architecture"}), r"net\.json does not .* architecture"),
        (json.dumps(values | {"classes": "many"}), "does not describe a network: classes"),
        (json.dumps(values | {"classes": 256}), "classes: .* 255"),
        (json.dumps(values | {"normalisation": 3}), "does not describe a network: normalisation"),
        (json.dumps(values | {"normalisation": {"std": [0, 1, 1]}}), "std more than 0"),
        (json.dumps(values | {"class_names": [1, 2, 3]}), r"class_names\.0"),
        (json.dumps(values | {"palette": [[0, 0, 999]]}), r"palette\.0\.2: .* 255"),
    ]:
        card.write_text(content)
        with pytest.raises(ValueError, match=reason):
            load_segmenter(saved)
    card.unlink()
    with pytest.raises(FileNotFoundError, match=r"net\.json"):
        load_segmenter(saved)


def encoder(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2 * width, 1))


def test_encoder_by_name_ignores_the_rest(tmp_path: Path) -> None:
    source, target = encoder(), encoder()
    shuffled = dict(reversed([*source.state_dict().items(), ("fc.weight", torch.zeros(10, 8))]))
    torch.save(shuffled, tmp_path / "e.pth")
    load_encoder(target, tmp_path / "e.pth")
    assert all(torch.equal(source.state_dict()[k], v) for k, v in target.state_dict().items())


def test_encoder_of_a_wrapper_is_filled_inside(tmp_path: Path) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = encoder()

    source, target = encoder(), Wrapper()
    torch.save(source.state_dict(), tmp_path / "e.pth")
    load_encoder(target, tmp_path / "e.pth")
    assert torch.equal(target.model[2].weight, source[2].weight)


def test_encoder_that_does_not_fit(tmp_path: Path) -> None:
    renamed = {f"x{i}": v for i, v in enumerate(encoder(6).state_dict().values())}
    torch.save(renamed, tmp_path / "wide.pth")
    with pytest.raises(ValueError, match=r"wide\.pth does not fit.*'x0' \(6, 3, 3, 3\).*'0\.weight' \(4, 3, 3, 3\)"):
        load_encoder(encoder(), tmp_path / "wide.pth")
    torch.save({"x0": encoder()[0].weight.data}, tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"short\.pth has 1 tensors, the encoder needs 9"):
        load_encoder(encoder(), tmp_path / "short.pth")
    torch.save(encoder(6).state_dict(), tmp_path / "named.pth")
    with pytest.raises(ValueError, match=r"named\.pth.*'0\.weight'"):
        load_encoder(encoder(), tmp_path / "named.pth")


def test_encoder_from_a_package_whose_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tiny_encoder_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    source, target = encoder(), encoder()
    torch.save(source.state_dict(), package / "tiny.pth")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_packaged("tiny_encoder_weights") == package / "tiny.pth"
    load_encoder(target, "package:tiny_encoder_weights")
    assert torch.equal(target[0].weight, source[0].weight)
    (package / "second.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="'tiny_encoder_weights' holds 2 weights files, expected one"):
        find_packaged("tiny_encoder_weights")


@pytest.mark.real
def test_camvid_teacher_scores_what_its_json_says(data_root: Path) -> None:
    path = data_root / "weights" / "camvid_fpn_lite2.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path.name} under the data root")
    card = json.loads(path.with_suffix(".json").read_text())
    teacher, _ = load_segmenter(path)
    val = opened(CamVid, data_root / "data" / "camvid", "val")
    flows = {"zero": optical_flow.build("zero")}
    (row,) = evaluate(val.sources, {"teacher": network(teacher)}, 11, flows, ["visible"], references=False)
    assert row.frames == 101
    assert row["miou"] == pytest.approx(card["val_mIoU_percent"], abs=0.1)
    assert row.per_class["iou"] == pytest.approx([card["val_IoU_percent"][name] for name in val.class_names], abs=0.5)


def test_a_flipped_bit_of_a_student_is_found_wherever_it_is(saved: Path) -> None:
    content = saved.read_bytes()
    for place in range(0, len(content), 61):
        saved.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"net\.safetensors"):
            load_segmenter(saved)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_that_are_not_numbers_are_refused(suffix: str, tmp_path: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in segmenter(4).network.state_dict().items()}
    state["classifier.weight"][0, 0] = float("nan")
    path = tmp_path / f"net.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(state, path)
    with pytest.raises(ValueError, match=rf"net\.{suffix}: 'classifier\.weight' holds NaN"):
        load_weights(segmenter(4).network, path)


def test_weights_of_0_1_load() -> None:
    """With the json that version 0.1 wrote."""
    path = PRETRAINED / "street-teacher.safetensors"
    card = json.loads(path.with_suffix(".json").read_text())
    written = {"architecture", "classes", "arguments", "normalisation", "roles", "class_names", "palette", "sha256"}
    assert card.keys() == written
    segmenter, spec = load_segmenter(path)
    assert (segmenter.classes, list(spec.class_names)) == (card["classes"], card["class_names"])


def test_networks_that_come_along_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        pretrained("street-teacher") == find("street-teacher", "weights") == PRETRAINED / "street-teacher.safetensors"
    )
    assert pretrained("runs/street-teacher") == Path("runs/street-teacher")
    (tmp_path / "street-teacher").mkdir()  # a path that exists wins
    assert pretrained("street-teacher") == Path("street-teacher")
    assert pretrained("no-such") == Path("no-such")
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.safetensors").touch()
    assert pretrained("mine.safetensors") == tmp_path / "weights" / "mine.safetensors"
    assert all(load_segmenter(file)[0].classes for file in PRETRAINED.glob("*.safetensors"))
