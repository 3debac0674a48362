import cv2
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import optical_flow

from flow import build
from flow.raft import Raft, load_weights

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


def test_a_batch_is_its_entries(small):
    a = torch.cat([texture(128, 128), texture(128, 128, dx=9)])
    b = torch.cat([texture(128, 128, dx=2), texture(128, 128, dy=4)])
    together = small(a, b)
    torch.testing.assert_close(together[1:], small(a[1:], b[1:]), atol=1e-3, rtol=0)


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


def test_frozen_and_light_between_calls(small):
    small.train()
    assert not any(module.training for module in small.modules())
    assert not any(parameter.requires_grad for parameter in small.parameters())
    frames = texture(128, 128).requires_grad_()
    assert not small(frames, frames).requires_grad
    assert small.network.corr_block.corr_pyramid == []


def test_fingerprint_follows_weights_and_settings():
    state = random_state("raft_small")
    one = Raft("raft_small", state)
    assert one.fingerprint == Raft("raft_small", state).fingerprint
    assert one.fingerprint != Raft("raft_small", state, updates=6).fingerprint
    state = {key: value.clone() for key, value in state.items()}
    next(iter(state.values())).view(-1)[0] += 1e-3
    assert one.fingerprint != Raft("raft_small", state).fingerprint


@pytest.mark.parametrize("updates", [0, -1, 2.5])
def test_updates_must_be_a_count(updates):
    with pytest.raises(ValueError, match="updates"):
        Raft("raft_small", random_state("raft_small"), updates=updates)


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
    other = {key: value + 1 for key, value in random_state("raft_small").items()}
    save_file(other, folder / "raft_small_sintel.safetensors")
    assert torch.equal(load_weights("raft_small")["context_encoder.conv.bias"], other["context_encoder.conv.bias"])
    save_file(random_state("raft_small"), folder / "raft_small_things.safetensors")
    assert build("raft_small").fingerprint == Raft("raft_small", random_state("raft_small")).fingerprint


def test_weights_are_found_beside_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TEMPORALKD_DATA", raising=False)
    (tmp_path / "shared" / "weights").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    save_file(random_state("raft_small"), tmp_path / "shared" / "weights" / "raft_small_things.safetensors")
    assert build("raft_small").name == "raft_small"


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


def camvid_frame(data_root):
    path = sorted((data_root / "data" / "camvid" / "train").glob("*.png"))[0]
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


@pytest.mark.real
def test_raft_small_finds_a_known_shift(data_root):
    path = data_root / "weights" / "raft_small_things.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    estimator = build("raft_small", weights=path)
    frame = camvid_frame(data_root)
    rolled = frame.roll((3, 7), (2, 3))
    forward, backward = next(estimator.video([frame, rolled]))
    truth = torch.tensor([7.0, 3.0]).view(1, 2, 1, 1)
    inner = (..., slice(60, -60), slice(60, -60))
    assert (forward - truth).norm(dim=1)[inner].mean() < 0.15
    assert (backward + truth).norm(dim=1)[inner].mean() < 0.15
