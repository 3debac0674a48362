import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V
from torchvision.transforms.v2.functional._utils import _KERNEL_REGISTRY

from flow import FlowField, resize_flow, warp
from flow.field import REFUSED, UNCHANGED

from .conftest import texture

FUNCTIONALS = {function.__name__: function for function in _KERNEL_REGISTRY}
MEASURING = {"get_dimensions", "get_num_channels", "get_num_frames", "get_size"}

ARGUMENTS = {
    "affine": {"angle": 5.0, "translate": [1, 1], "scale": 1.1, "shear": [0.0, 0.0]},
    "rotate": {"angle": 90.0},
    "perspective": {"startpoints": [[0, 0], [5, 0], [5, 5], [0, 5]], "endpoints": [[0, 0], [5, 1], [5, 5], [0, 5]]},
    "elastic": {"displacement": torch.zeros(1, 6, 8, 2)},
    "uniform_temporal_subsample": {"num_samples": 1},
}


def field(height=6, width=8, *leading):
    return FlowField(torch.randn(*leading, 2, height, width))


@pytest.mark.parametrize("name", sorted(set(FUNCTIONALS) - MEASURING))
def test_every_functional_knows_flow_fields(name):
    assert FlowField in _KERNEL_REGISTRY[FUNCTIONALS[name]], f"transforms.v2 {name} would pass a flow field through"


def test_the_walk_covers_the_geometry():
    public = {name for name, function in vars(V).items() if getattr(function, "__module__", "").endswith("_geometry")}
    kernels = {name for name in public if name in FUNCTIONALS}
    assert kernels >= {"resize", "crop", "pad", "rotate", "affine", "perspective", "elastic", "horizontal_flip"}
    aliases_and_kernels = ("_image", "_video", "_mask", "_bounding_boxes", "_keypoints")
    others = {name for name in public - kernels if not name.endswith(aliases_and_kernels)}
    assert all(getattr(V, name).__name__ in FUNCTIONALS or name == "elastic_transform" for name in others), others


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_leave_wrong_vectors_refuses(name):
    with pytest.raises(TypeError, match=rf"FlowField.*{name}"):
        getattr(V, name)(field(), **ARGUMENTS[name])


@pytest.mark.parametrize("name", [n for n in UNCHANGED if n in FUNCTIONALS])
def test_colour_leaves_it_as_it_is(name):
    before = field()
    after = getattr(V, name)(before, *([None] * (FUNCTIONALS[name].__code__.co_argcount - 1)))
    assert after is before


def test_flips_mirror_places_and_vectors():
    before = FlowField(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
    across, down = V.horizontal_flip(before), V.vertical_flip(before)
    assert isinstance(across, FlowField)
    assert across.tolist() == [[[-2.0, -1.0]], [[4.0, 3.0]]]
    assert down.tolist() == [[[1.0, 2.0]], [[-3.0, -4.0]]]
    assert torch.equal(V.horizontal_flip(across), before)


def test_resize_rescales_vectors():
    before = FlowField(torch.tensor([4.0, 6.0]).view(2, 1, 1).expand(3, 2, 10, 20).clone())
    after = V.resize(before, [5, 40])
    assert isinstance(after, FlowField)
    torch.testing.assert_close(after.as_subclass(torch.Tensor)[1, :, 2, 7], torch.tensor([8.0, 3.0]))


@pytest.mark.parametrize(
    "options", [{"size": [7]}, {"size": 7}, {"size": [7], "max_size": 9}, {"size": None, "max_size": 9}]
)
def test_resize_ends_at_the_frames_size(options):
    frames, flow = tv_tensors.Video(torch.rand(1, 3, 10, 20)), field(10, 20)
    assert V.resize(flow, **options).shape[-2:] == V.resize(frames, **options).shape[-2:]


def test_crops_slice_and_pads_are_still():
    before = field(6, 8, 3)
    crop = V.crop(before, 1, 2, 3, 4)
    assert torch.equal(crop, before[..., 1:4, 2:6])
    beyond = V.crop(before, 4, -1, 4, 3)
    assert torch.equal(beyond[..., :2, 1:], before[..., 4:, :2])
    assert not beyond[..., 2:, :].any()
    assert not beyond[..., 0].any()
    for mode in ("constant", "edge", "reflect"):
        padded = V.pad(before, [1, 2, 3, 4], fill=7, padding_mode=mode)
        assert padded.shape == (3, 2, 12, 12)
        assert torch.equal(padded[..., 2:8, 1:9], before)
        assert padded.abs().sum() == pytest.approx(before.abs().sum().item(), rel=1e-5)
    assert torch.equal(V.center_crop(before, [4, 4]), before[..., 1:5, 2:6])
    cropped = V.resized_crop(before, 1, 2, 4, 6, [8, 3])
    assert torch.equal(cropped, resize_flow(before[..., 1:5, 2:8], (8, 3)))


def scene(height=96, width=128):
    """Two frames, the labels of the first, and the exact flow from the first to the second: a slow zoom and a pan."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    exact = torch.stack((3 + (x - 60) / 40, (y - 40) / 50 - 2))[None]
    b = texture(height, width)
    a = warp(b, exact)
    return {
        "frames": tv_tensors.Video(torch.cat((a, b))),
        "labels": tv_tensors.Mask((a[:, 0] > 0.5).long()),
        "flow": FlowField(exact),
    }


TRANSFORMS = {
    "resized crop": v2.RandomResizedCrop((64, 80), scale=(0.4, 0.9), antialias=True),
    "flip": v2.RandomHorizontalFlip(p=1.0),
    "vertical flip": v2.RandomVerticalFlip(p=1.0),
    "crop": v2.RandomCrop((70, 90)),
    "crop of more": v2.RandomCrop((100, 140), pad_if_needed=True),
    "resize": v2.Resize((60, 100)),
    "jitter": v2.ScaleJitter((96, 128), scale_range=(0.7, 1.6)),
    "zoom out": v2.RandomZoomOut(side_range=(1.2, 1.3), p=1.0),
    "all": v2.Compose(
        [
            v2.ScaleJitter((96, 128), scale_range=(0.8, 1.5)),
            v2.RandomCrop((90, 120), pad_if_needed=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.0, 0.0),
        ]
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_frames_labels_and_flow_move_in_one_draw(name):
    for seed in range(4):
        torch.manual_seed(seed)
        sample = scene()
        out = TRANSFORMS[name](sample)
        frames, flow, labels = out["frames"], out["flow"], out["labels"]
        assert isinstance(flow, FlowField)
        assert frames.shape[-2:] == flow.shape[-2:] == labels.shape[-2:]
        a, b = frames[:1], frames[1:]
        known = torch.nn.functional.avg_pool2d((flow != 0).any(1, keepdim=True).float(), 17, 1, 8) == 1
        assert known.float().mean() > 0.15
        assert ((warp(b, flow) - a).abs() * known).max() < 0.02
        assert ((b - a).abs() * known).max() > 0.1
        clear = known & ((a[:, :1] - 0.5).abs() > 0.08)  # masks are resized to the nearest pixel: edges may move by one
        assert clear.float().mean() > 0.05
        assert ((a[:, :1] > 0.5) == labels[:, None].bool())[clear].all()
