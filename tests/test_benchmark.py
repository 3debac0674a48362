"""tools/benchmark.py: its reference gives our numbers; how fast either is, is not tested."""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torchvision.models import optical_flow

from temporalkd.data.label_maps import write_map
from temporalkd.data.street import Street
from temporalkd.metrics import PROTOCOLS
from tests import tiny
from tests.cli_support import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The section, on a street of few small frames."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    module: ModuleType = importlib.import_module("benchmarks.consistency")
    monkeypatch.setattr(module, "STREET_LENGTH", 7)
    monkeypatch.setattr(module, "STREET_SIZE", (64, 90))
    monkeypatch.setattr(module, "_footage", module._street)
    monkeypatch.setattr(module, "_peak_memory", lambda length: 100)
    yield module
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


def test_the_reference_gives_our_numbers_under_every_protocol(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consistency, flips, interior flips and coverage, to rounding: else the benchmark refuses."""
    compared: list[tuple[dict[str, Any], dict[str, Any]]] = []
    agreement = bench._agreement

    def agree(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
        compared.append((ours, theirs))
        return agreement(ours, theirs)

    monkeypatch.setattr(bench, "_agreement", agree)
    one, every = bench.consistency(repeats=1)
    assert "7 class maps" in one.what and "visible" in one.what and all(p in every.what for p in PROTOCOLS)
    assert "within 0.000" in every.agreement
    (_, (ours, theirs)) = compared
    assert list(ours) == list(theirs) == list(PROTOCOLS)
    for protocol in PROTOCOLS:
        for key in ("consistency", "flip_rate", "flip_interior", "coverage"):
            assert theirs[protocol][key] == pytest.approx(ours[protocol][key], abs=2e-3), (protocol, key)
    values = {round(numbers["consistency"], 2) for numbers in theirs.values()}
    assert len(values) == len(PROTOCOLS), "no two protocols are one"
    assert theirs["visible"]["flip_interior"] > 0 and 10 < theirs["visible"]["coverage"] < 100


def test_the_affinities_agree_and_the_largest_stands_alone(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("benchmarks.affinity")
    monkeypatch.setattr(module, "SIZES", [(28, 30), (30, 40)])
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    monkeypatch.setattr(module, "peak_mib", lambda form, size: 100)
    compared, alone = module.affinity(repeats=1)
    assert "value within" in compared.agreement and compared.ratio > 0
    assert alone.reference is None and alone.ratio is None and alone.ours > 0
    monkeypatch.setattr(module, "inter_affinity", lambda *maps: 1.01 * module.full_matrix(*maps))
    with pytest.raises(AssertionError, match="differ by"):
        list(module.affinity(repeats=1))


def test_flow_is_torchvisions_and_what_is_not_is_refused(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = importlib.import_module("benchmarks.flow")
    torch.manual_seed(0)
    state = optical_flow.raft_small().state_dict()
    for place in (module, importlib.import_module("flow.raft")):
        monkeypatch.setattr(place, "load_weights", lambda *_: state)
    monkeypatch.setattr(module, "SIZE", (128, 136))
    monkeypatch.setattr(module, "COUNT", 3)
    monkeypatch.setattr(module, "UPDATES", 3)
    monkeypatch.setattr(module, "WAYS", {"float32": {}, "coarse": {"tolerance": 1000.0}})
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path))
    rows = module.flow(repeats=1)
    plain = next(rows)
    assert "a synthetic street, both ways, float32" in plain.what and plain.ratio > 0
    assert "mean 0.0000" in plain.agreement and "3.0 updates" in plain.agreement
    with pytest.raises(AssertionError, match="mean end-point difference"):
        next(rows)


def test_predict_writes_the_loops_maps_and_every_form_is_scored(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = importlib.import_module("benchmarks.predict")
    size = (64, 96)
    scene = module.Scene(Street(0, 3, size), tiny.segmenter().eval(), tiny.spec(), Street(1, 3, size), "a street")
    monkeypatch.setattr(module, "_scene", lambda: scene)
    monkeypatch.setattr(module, "_process", lambda: ThreadPoolExecutor(1))
    monkeypatch.setattr("torch.compile", lambda network, **_: network)
    video, images, *forms = module.predict(repeats=1)
    assert "a video of 64x96" in video.what and "PNG files of 64x96" in images.what
    assert all(r.agreement.startswith("3 class maps, 100.000 %") and r.ratio > 0 for r in (video, images))
    agreement = {form.what.split(", a street")[0]: form.agreement for form in forms}
    assert list(agreement) == ["fp32, contiguous", "bf16", "compiled", "ONNX Runtime", "ONNX Runtime, int8"]
    shares = {name: float(text.split(" %")[0]) for name, text in agreement.items()}
    assert agreement["compiled"].startswith("100.000 % of the pixels, mIoU +0.000 of")
    assert min(shares["fp32, contiguous"], shares["ONNX Runtime"]) > 99.9 and min(shares.values()) > 80
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        write_map(tmp_path / name / "0.png", torch.full((4, 4), int(name == "ours"), dtype=torch.uint8))
    with pytest.raises(AssertionError, match=r"differ in 0\.png"):
        module._same_maps(tmp_path / "ours", tmp_path / "theirs")


def test_the_step_learns_the_same_cross_entropy_as_its_reference(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("benchmarks.step")
    monkeypatch.setattr(module, "SIZE", (64, 96))
    monkeypatch.setattr(module, "_teacher", lambda: tiny.segmenter(module.CLASSES).eval())
    whole, cached, *parts = module.step(repeats=1)
    assert all("the same cross-entropy" in r.agreement and r.ratio > 0 for r in (whole, cached))
    assert "the teacher's predictions stored" in cached.what
    assert [part.what.removeprefix("of it: ") for part in parts][:3] == [
        *("teacher, forward", "student, forward", "motion at the native stride")
    ]
    assert sum(float(part.agreement.split()[0]) for part in parts) == pytest.approx(100, abs=1)


def test_clips_of_all_decoders_agree(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("benchmarks.data")
    monkeypatch.setattr(module, "CLIPS", 6)
    video = module.street_video(tmp_path / "street.mp4", length=20, size=(48, 64))
    rows = list(module.random_clips("a street", video, repeats=1))
    assert len(rows) >= 2 and all("48x64" in row.what and row.ratio > 0 for row in rows)
    loader = module.loader("a street", video)
    assert loader.agreement == "equal clips" and loader.ours > 0
    plain = module.opencv
    monkeypatch.setattr(module, "opencv", lambda capture, clip: plain(capture, (clip[1], clip[0])))
    with pytest.raises(AssertionError, match="not the same ones"):
        list(module.random_clips("a street", video, repeats=1))
