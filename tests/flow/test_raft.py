from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models import optical_flow

import flow
from flow import build
from flow import raft as module
from flow.correlation import Correlation, pyramid
from flow.raft import Raft
from flow.weights import load_weights

from .conftest import texture

ARCHITECTURES = {"raft_small": optical_flow.raft_small, "raft_large": optical_flow.raft_large}


def random_state(kind):
    torch.manual_seed(3)
    return ARCHITECTURES[kind]().state_dict()


@pytest.fixture(scope="module", params=["raft_small", "raft_large"])
def raft(request):
    return Raft(request.param, random_state(request.param), updates=4)


@pytest.fixture(scope="module")
def small():
    return Raft("raft_small", random_state("raft_small"), updates=2)


def test_equals_torchvisions_own_forward(raft):
    a, b = texture(128, 136), texture(128, 136, dx=3, dy=1)
    network = ARCHITECTURES[raft.name]().eval()
    network.load_state_dict(random_state(raft.name))
    with torch.no_grad():
        reference = network(a * 2 - 1, b * 2 - 1, num_flow_updates=4)[-1]
    assert reference.abs().max() > 0.1
    torch.testing.assert_close(raft(a, b), reference, atol=1e-3, rtol=1e-5)


def test_video_equals_forward(raft):
    frames = [texture(128, 136, dx=3 * t, dy=t) for t in range(3)]
    for t, (forward, backward) in enumerate(raft.video(frames)):
        assert forward.shape == (1, 2, 128, 136)
        torch.testing.assert_close(forward, raft(frames[t], frames[t + 1]), atol=1e-3, rtol=0)
        torch.testing.assert_close(backward, raft(frames[t + 1], frames[t]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"precision": "bfloat16"}, {"tolerance": 0.5}], ids=str)
@pytest.mark.parametrize("size", [(128, 136), (45, 151)], ids=str)
def test_both_directions_at_once_are_each_alone(monkeypatch, settings, size):
    """To the bit: what a cache holds does not depend on which direction was asked for first."""
    monkeypatch.setattr(module, "native_bfloat16", lambda device: True)
    for kind in ARCHITECTURES:
        estimator = Raft(kind, random_state(kind), updates=4, **settings)
        a, b = (estimator.encode(texture(*size, dx=3 * t, dy=t)) for t in range(2))
        with torch.no_grad():
            there, back = estimator.both(a, b)
            assert torch.equal(there, estimator.match(a, b)) and torch.equal(back, estimator.match(b, a))
            assert not torch.equal(there, back)


def test_correlation_is_torchvisions_volume_pooled_and_sampled(small):
    torch.manual_seed(0)
    features, others = torch.randn(2, 2, 9, 17, 23).unbind(1)
    block = type(small.network.corr_block)(num_levels=2, radius=3)
    block.build_pyramid(features, others)
    places = torch.randn(2, 2, 17, 23) * 20
    expected = block.index_pyramid(places)
    found = Correlation(features, pyramid(others, 2), radius=3).around(places)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (expected == 0).any(), "places outside the map are looked at too"


def test_tolerance_ends_a_field_by_itself_whatever_is_beside_it():
    """The reference: as many updates as the field's own changes ask for, one field at a time."""
    state, tolerance = random_state("raft_small"), 1.185
    pairs = [(texture(128, 128, dx=2 * t), texture(128, 128, dx=3 * t + 1, dy=t * t)) for t in range(3)]
    by_updates = [Raft("raft_small", state, updates=n) for n in range(1, 9)]
    expected, counts = [], []
    for a, b in pairs:
        steps = [moved_by(estimator, a, b) for estimator in by_updates]
        counts.append(next((n for n, moved in enumerate(steps, 1) if moved < tolerance), 8))
        expected.append(by_updates[counts[-1] - 1](a, b))
    assert len(set(counts)) > 1 and max(counts) < 8
    estimator = Raft("raft_small", state, updates=8, tolerance=tolerance)
    assert all(torch.equal(estimator(*pair), field) for pair, field in zip(pairs, expected))
    assert estimator.average_updates == sum(counts) / len(counts)
    a, b = (torch.cat(side) for side in zip(*pairs))
    torch.testing.assert_close(estimator(a, b), torch.cat(expected), atol=1e-3, rtol=0)
    assert estimator.average_updates == sum(counts) / len(counts)


@pytest.mark.parametrize("tolerance", [0.0, 1.185])
def test_one_batch_as_on_an_accelerator_is_its_fields(tolerance):
    estimator = Raft("raft_small", random_state("raft_small"), updates=8, tolerance=tolerance)
    parts = []
    with torch.no_grad():
        for t in range(3):
            a = estimator.encode(texture(128, 128, dx=2 * t))
            b = estimator.encode(texture(128, 128, dx=3 * t + 1, dy=t * t))
            parts.append((a.features, *a.context, *b.pyramid))
        alone = [estimator._updated(*part) for part in parts]
        average = estimator.average_updates
        together = estimator._updated(*(torch.cat(part) for part in zip(*parts)))
    for one, batch in zip(zip(*alone), together):
        torch.testing.assert_close(batch, torch.cat(one), atol=1e-4, rtol=0)
    assert estimator.average_updates == average and (average == 8) == (tolerance == 0)


def moved_by(estimator, a, b):
    """Mean length of the last update, in pixels."""
    seen, update = [], estimator.refinement.update
    estimator.refinement.update = lambda state, grid: seen.append(update(state, grid)) or seen[-1]
    estimator(a, b)
    estimator.refinement.update = update
    return (8 * seen[-1]).norm(dim=1).mean().item()


def test_bfloat16_is_near_float32(monkeypatch):
    monkeypatch.setattr(module, "native_bfloat16", lambda device: True)
    state = random_state("raft_small")
    a, b = texture(128, 136), texture(128, 136, dx=3, dy=1)
    exact, half = (Raft("raft_small", state, updates=4, precision=p) for p in ("float32", "bfloat16"))
    assert half.fingerprint != exact.fingerprint and half.used_precision == "bfloat16"
    field, expected = half(a, b), exact(a, b)
    assert field.dtype == torch.float32
    assert 0 < (field - expected).norm(dim=1).mean() < 0.02 * expected.norm(dim=1).mean()


@pytest.mark.parametrize("size", [(1, 1), (40, 60), (131, 141), (128, 250)])
def test_any_size_pads_with_its_edge_and_crops_back(small, size):
    a, b = texture(*size), texture(*size, dx=1)
    field = small(a, b)
    assert field.shape == (1, 2, *size)
    height, width = (max(128, -(-s // 8) * 8) for s in size)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    around = (left, width - size[1] - left, top, height - size[0] - top)
    padded = [torch.nn.functional.pad(frame, around, mode="replicate") for frame in (a, b)]
    expected = small(*padded)[..., top : top + size[0], left : left + size[1]]
    torch.testing.assert_close(field, expected)


def test_never_half_precision(small):
    a, b = texture(128, 128), texture(128, 128, dx=3)
    expected = small(a, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = small(a, b)
    assert field.dtype == torch.float32
    assert torch.equal(field, expected)
    assert small(a.half(), b.half()).dtype == torch.float32
    assert small(a.double(), b.double()).dtype == torch.float32


def test_fingerprint_follows_weights_and_settings():
    state = random_state("raft_small")
    one = Raft("raft_small", state)
    assert one.fingerprint == Raft("raft_small", state).fingerprint
    assert one.fingerprint != Raft("raft_small", state, updates=6).fingerprint
    assert one.fingerprint == Raft("raft_small", state, precision="float32", tolerance=0).fingerprint
    assert one.fingerprint != Raft("raft_small", state, tolerance=0.02).fingerprint
    state = {key: value.clone() for key, value in state.items()}
    next(iter(state.values())).view(-1)[0] += 1e-3
    assert one.fingerprint != Raft("raft_small", state).fingerprint


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_weights_from_a_path(tmp_path, suffix):
    state, path = random_state("raft_small"), tmp_path / f"mine{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    built = build("raft_small", weights=path, updates=3)
    assert built.fingerprint == Raft("raft_small", state, updates=3).fingerprint
    assert build("raft_small", weights=str(path), updates=3).fingerprint == built.fingerprint


def test_weights_are_found_in_the_data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path))
    folder = tmp_path / "weights"
    folder.mkdir()
    other = {key: value + 1 for key, value in random_state("raft_large").items()}
    save_file(other, folder / "raft_large_sintel.safetensors")
    assert torch.equal(load_weights("raft_large")["context_encoder.conv.bias"], other["context_encoder.conv.bias"])
    save_file(random_state("raft_large"), folder / "raft_large_things.safetensors")
    assert build("raft_large").fingerprint == Raft("raft_large", random_state("raft_large")).fingerprint


def test_raft_small_needs_no_path_no_variable_and_no_network(tmp_path, monkeypatch):
    monkeypatch.delenv("TEMPORALKD_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    shipped = build("raft_small")
    path = Path(flow.__file__).with_name("raft_small_things.safetensors")
    assert shipped.fingerprint == build("raft_small", weights=path).fingerprint
    assert "BSD 3-Clause" in path.with_suffix(".LICENSE").read_text()


def test_no_weights_says_where_it_looked_and_names_dis(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"raft_large.*weights.*TEMPORALKD_DATA.*dis") as caught:
        build("raft_large")
    assert str(tmp_path / "weights") in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth.*dis"):
        build("raft_small", weights="nowhere.pth")


def test_download_is_torchvisions_own_and_a_failure_is_named(monkeypatch):
    asked = []

    def offline(self, *args, **kwargs):
        asked.append(self)
        raise OSError("no route")

    monkeypatch.setattr(optical_flow.Raft_Small_Weights, "get_state_dict", offline)
    with pytest.raises(OSError, match=r"raft_small.*no route"):
        build("raft_small", weights="download")
    assert asked == [optical_flow.Raft_Small_Weights.DEFAULT]


def test_weights_that_do_not_fit_are_named(tmp_path):
    state = random_state("raft_small")

    def refused(content, words, name="w.safetensors"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif name.endswith(".pth"):
            torch.save(content, path)
        else:
            save_file(content, path)
        with pytest.raises(ValueError, match=words) as caught:
            build("raft_small", weights=path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused(random_state("raft_large"), "does not fit raft_small")
    refused({f"module.{key}": value for key, value in state.items()}, r"106 tensors are missing.*106 are not its own")
    key = "context_encoder.conv.bias"
    refused({**state, key: state[key][:5].clone()}, rf"{key} is \(5,\) instead of \(160,\)")
    refused(b"not a tensor in sight", "not a readable weights file")
    save_file(state, tmp_path / "whole.safetensors")
    refused((tmp_path / "whole.safetensors").read_bytes()[:-100], "not a readable weights file")
    refused(b"PK\x03\x04 broken", "not a readable weights file", name="w.pth")
    refused({"state_dict": state}, "does not hold a state dict", name="w.pth")
    refused({"model": ARCHITECTURES}, "not a readable weights file|state dict", name="w.pth")


def test_raft_small_finds_a_known_shift():
    generator = torch.Generator().manual_seed(0)
    frame = sum(
        F.interpolate(torch.rand(1, 3, size, size * 2, generator=generator), (128, 256), mode="bicubic") / 4
        for size in (4, 8, 16, 32)
    ).clamp(0, 1)
    forward, backward = next(build("raft_small").video([frame, frame.roll((3, 7), (2, 3))]))
    truth = torch.tensor([7.0, 3.0]).view(1, 2, 1, 1)
    inner = (..., slice(24, -24), slice(24, -24))
    assert (forward - truth).norm(dim=1)[inner].mean() < 0.15
    assert (backward + truth).norm(dim=1)[inner].mean() < 0.15
