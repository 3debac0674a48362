import cv2
import pytest
import torch

from flow import build

from .conftest import texture


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_finds_a_known_shift(preset):
    estimator = build("dis", preset=preset)
    a, b = texture(160, 200), texture(160, 200, dx=3, dy=-2)
    error = estimator(a, b) - torch.tensor([3.0, -2.0]).view(1, 2, 1, 1)
    assert error.norm(dim=1)[..., 20:-20, 20:-20].mean() < 0.2
    assert estimator(a, b).dtype == torch.float32


def test_small_frames_give_small_fields():
    estimator = build("dis")
    for size in [(1, 1), (8, 8), (15, 40), (40, 15), (3, 700)]:
        field = estimator(texture(*size), texture(*size, dx=1))
        assert field.shape == (1, 2, *size)
        assert field.isfinite().all()
    a, b = texture(48, 64), texture(48, 64, dx=2)
    error = estimator(a, b) - torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)
    assert error.norm(dim=1)[..., 8:-8, 8:-8].mean() < 0.3


def test_a_batch_is_its_entries_and_video_is_forward():
    estimator = build("dis")
    frames = [texture(130, 140, dx=2 * t, dy=t) for t in range(3)]
    together = estimator(torch.cat(frames[:2]), torch.cat(frames[1:]))
    for t, (forward, backward) in enumerate(estimator.video(frames)):
        assert torch.equal(forward[0], together[t])
        assert torch.equal(backward, estimator(frames[t + 1], frames[t]))


def camvid_frame(data_root):
    path = sorted((data_root / "data" / "camvid" / "train").glob("*.png"))[0]
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


@pytest.mark.real
def test_agrees_with_the_truth_on_a_real_frame(data_root):
    frame = camvid_frame(data_root)
    error = build("dis")(frame, frame.roll((3, 7), (2, 3))) - torch.tensor([7.0, 3.0]).view(1, 2, 1, 1)
    assert error.norm(dim=1)[..., 60:-60, 60:-60].median() < 0.15
