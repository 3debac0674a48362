import cv2
import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from flow import in_frame, photometric_weight, resize_flow, visible, warp

from .conftest import texture


def constant(dx, dy, height, width, batch=1, dtype=torch.float32):
    return torch.tensor([dx, dy], dtype=dtype).view(1, 2, 1, 1).expand(batch, 2, height, width).clone()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (5, 5), (33, 47), (360, 480), (3, 4097)])
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_zero_flow_is_the_identity(size, padding):
    image = torch.rand(2, 3, *size)
    torch.testing.assert_close(warp(image, torch.zeros(2, 2, *size), padding=padding), image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("width", [480, 1241, 3840])
def test_integer_flow_copies_pixels(width):
    image = torch.rand(1, 2, 20, width)
    warped = warp(image, constant(7, -3, 20, width))
    torch.testing.assert_close(warped[:, :, 3:, : width - 7], image[:, :, :17, 7:], atol=1e-4, rtol=0)


def test_looks_into_the_neighbour_at_x_plus_flow():
    a, b = texture(60, 80), texture(60, 80, dx=2.25, dy=-1.5)
    inner = (..., slice(4, -4), slice(4, -4))
    flow = constant(2.25, -1.5, 60, 80)
    assert (warp(b, flow) - a)[inner].abs().max() < 0.01
    assert (b - a)[inner].abs().max() > 0.1


def test_hand_computed_values():
    image = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0]]).view(1, 1, 3, 3)
    field = torch.zeros(1, 2, 3, 3)
    field[0, :, 0, 0] = torch.tensor([0.5, 0.0])  # (1 + 2) / 2
    field[0, :, 1, 1] = torch.tensor([-0.25, 0.5])  # 3/4 (16 + 128) / 2 + 1/4 (8 + 64) / 2
    field[0, :, 2, 2] = torch.tensor([0.75, 0.0])  # a quarter of 256 is left inside
    border, zeros = warp(image, field), warp(image, field, padding="zeros")
    assert border[0, 0, 0, 0] == 1.5
    assert border[0, 0, 1, 1] == 63
    assert border[0, 0, 2, 2] == 256
    assert zeros[0, 0, 2, 2] == 64
    assert zeros[0, 0, 1, 1] == 63


@pytest.mark.parametrize(
    ("padding", "mode"), [("border", cv2.BORDER_REPLICATE), ("zeros", cv2.BORDER_CONSTANT)], ids=["border", "zeros"]
)
def test_agrees_with_opencv(padding, mode):
    image, field = torch.rand(1, 3, 40, 53), torch.randn(1, 2, 40, 53) * 8
    y, x = np.mgrid[:40, :53].astype(np.float32)
    reference = cv2.remap(
        image[0].permute(1, 2, 0).numpy(),
        x + field[0, 0].numpy(),
        y + field[0, 1].numpy(),
        cv2.INTER_LINEAR,
        None,
        mode,
    )
    warped = warp(image, field, padding=padding)[0].permute(1, 2, 0)
    assert np.abs(warped.numpy() - reference).max() < 0.05  # OpenCV rounds coordinates to 1/32 px


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_gradients_to_image_and_flow(padding):
    image = torch.rand(2, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    field = (torch.randint(-3, 4, (2, 2, 4, 6)) + 0.1 + 0.8 * torch.rand(2, 2, 4, 6)).double().requires_grad_()
    assert gradcheck(lambda i, f: warp(i, f, padding=padding), (image, field))


def test_flow_gets_no_gradient_from_beyond_the_border():
    image = torch.rand(1, 1, 4, 6)
    field = constant(0, 0, 4, 6).requires_grad_()
    warp(image, field).sum().backward()
    assert field.grad[0, 0, :, -1].abs().max() == 0
    assert field.grad[0, 1, -1].abs().max() == 0
    assert field.grad[0, 0, :, 1:-1].abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32, torch.bool, torch.float32, torch.float16])
def test_nearest_copies_values_of_any_type(dtype):
    labels = torch.randint(0, 255, (2, 1, 9, 11)).to(dtype)
    field = constant(2.4, -0.6, 9, 11, batch=2)  # rounds to (2, -1)
    warped = warp(labels, field, mode="nearest")
    assert warped.dtype == dtype
    assert torch.equal(warped[:, :, 1:, :9], labels[:, :, :8, 2:])
    assert torch.equal(warped[:, :, 1:, 9:], labels[:, :, :8, 10:].expand(-1, -1, -1, 2))
    zeros = warp(labels, field, mode="nearest", padding="zeros")
    assert not zeros[:, :, 0].any()
    assert not zeros[:, :, :, 9:].any()
    assert torch.equal(zeros[:, :, 1:, :9], warped[:, :, 1:, :9])


def test_nearest_rounds_half_up():
    row = torch.arange(6).view(1, 1, 1, 6)
    assert warp(row, constant(0.5, 0, 1, 6), "nearest").flatten().tolist() == [1, 2, 3, 4, 5, 5]
    assert warp(row, constant(-0.5, 0, 1, 6), "nearest").flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert warp(row, constant(-0.51, 0, 1, 6), "nearest").flatten().tolist() == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_far_infinite_and_nan_flow_stay_at_the_border(mode):
    image = torch.arange(12.0).view(1, 1, 3, 4)
    for value, expected in ((1e30, 11.0), (float("inf"), 11.0), (-float("inf"), 0.0), (float("nan"), 0.0)):
        field = constant(value, value, 3, 4)
        assert (warp(image, field, mode) == expected).all()
        assert (warp(image, field, mode, padding="zeros") == 0).all()
        assert not in_frame(field).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_never_reaches_coordinates(dtype):
    image = torch.rand(1, 1, 2, 3000).to(dtype)
    flow = constant(3, 0, 2, 3000, dtype=dtype)  # 2999 + 3 is no float16 or bfloat16 number
    warped = warp(image, flow)
    assert warped.dtype == dtype
    assert torch.equal(warped[..., :-3], image[..., 3:])
    assert in_frame(flow)[..., :-3].all()
    assert not in_frame(flow)[..., -3:].any()


def test_in_frame_includes_the_edge_pixels_only():
    assert in_frame(torch.zeros(1, 2, 3, 4)).all()
    assert in_frame(constant(1, 0, 3, 4))[0, 0].tolist() == [[True, True, True, False]] * 3
    assert in_frame(constant(0, -0.01, 3, 4))[0, 0].tolist() == [[False] * 4, [True] * 4, [True] * 4]


def test_visible_where_the_way_back_ends_where_it_began():
    forward, backward = constant(4, 0, 6, 20), constant(-4, 0, 6, 20)
    assert torch.equal(visible(forward, backward), in_frame(forward))
    # What disagrees at the place where the flow ENDS hides a pixel; what disagrees where it starts does not.
    backward[..., 10] = 4
    expected = in_frame(forward)
    expected[..., 6] = False
    assert torch.equal(visible(forward, backward), expected)


def test_visible_threshold_is_sundarams():
    # |f + b|^2 against 0.01 (|f|^2 + |b|^2) + 0.5, with f = 10 and b = -10 + gap, far from the border
    for gap, expected in ((1.0, True), (1.48, True), (1.49, True), (1.5, False), (1.6, False)):
        bound = 0.01 * (100 + (10 - gap) ** 2) + 0.5
        assert (gap**2 <= bound) == expected
        result = visible(constant(10, 0, 3, 30), constant(-10 + gap, 0, 3, 30))
        assert (result[..., :20] == expected).all()


def test_visible_samples_the_backward_flow_between_pixels():
    forward = constant(0.5, 0, 3, 8)
    backward = constant(-0.5, 0, 3, 8)
    backward[0, 0, :, 4] = 2.5  # halfway to it, bilinear gives b = 1, and the gap of 1.5 is too wide
    assert visible(forward, backward)[0, 0, 1].tolist() == [True, True, True, False, False, True, True, False]


def test_photometric_weight_by_hand():
    image, neighbour = torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5)
    neighbour[0, 0, 2, 3] = 0.3
    weight = photometric_weight(image, neighbour, constant(1, 0, 4, 5), beta=10)
    assert weight.shape == (1, 1, 4, 5)
    assert weight[0, 0, 2, 2].item() == pytest.approx(np.exp(-1))
    assert (weight == 1).sum() == 19


def test_resize_flow_rescales_the_vectors():
    resized = resize_flow(constant(4, -6, 12, 20), (6, 40))
    assert resized.shape == (1, 2, 6, 40)
    torch.testing.assert_close(resized, constant(8, -3, 6, 40))
    stack = resize_flow(constant(1, 1, 4, 4).expand(3, 5, 2, 4, 4), (8, 4))
    torch.testing.assert_close(stack[2, 4], constant(1, 2, 8, 4)[0])


def test_resized_flow_fits_resized_frames():
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    field = torch.stack((2 + x / 32, y / 40 - 1))[None]
    b = texture(96, 128)
    a = warp(b, field)
    small = [torch.nn.functional.interpolate(i, size=(60, 100), mode="bilinear", antialias=True) for i in (a, b)]
    error = (warp(small[1], resize_flow(field, (60, 100))) - small[0])[..., 6:-8, 6:-8].abs()
    unscaled = torch.nn.functional.interpolate(field, size=(60, 100), mode="bilinear")
    assert error.max() < 0.01
    assert (warp(small[1], unscaled) - small[0])[..., 6:-8, 6:-8].abs().max() > 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: warp(torch.rand(1, 3, 4, 5), torch.zeros(1, 2, 4, 6)), r"\(1, 3, 4, 5\).*\(1, 2, 4, 6\)"),
        (lambda: warp(torch.rand(2, 3, 4, 5), torch.zeros(1, 2, 4, 5)), r"\(2, 3, 4, 5\)"),
        (lambda: warp(torch.rand(3, 4, 5), torch.zeros(1, 2, 4, 5)), r"\(3, 4, 5\)"),
        (lambda: warp(torch.rand(1, 3, 4, 5), torch.zeros(1, 3, 4, 5)), r"\(1, 3, 4, 5\)"),
        (lambda: warp(torch.rand(1, 3, 4, 5), torch.zeros(1, 2, 4, 5).long()), "int64"),
        (lambda: warp(torch.ones(1, 1, 4, 5).long(), torch.zeros(1, 2, 4, 5)), "nearest"),
        (lambda: warp(torch.rand(1, 1, 4, 5), torch.zeros(1, 2, 4, 5), mode="cubic"), "cubic"),
        (lambda: warp(torch.rand(1, 1, 4, 5), torch.zeros(1, 2, 4, 5), padding="mirror"), "mirror"),
        (lambda: in_frame(torch.zeros(2, 4, 5)), r"\(2, 4, 5\)"),
        (lambda: visible(torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 4, 6)), r"\(1, 2, 4, 6\)"),
        (
            lambda: photometric_weight(torch.rand(1, 3, 4, 5), torch.rand(1, 1, 4, 5), torch.zeros(1, 2, 4, 5)),
            r"\(1, 1, 4, 5\)",
        ),
        (lambda: resize_flow(torch.zeros(1, 3, 4, 5), (8, 8)), r"\(1, 3, 4, 5\)"),
        (lambda: resize_flow(torch.zeros(1, 2, 4, 5), (0, 8)), r"\(0, 8\)"),
    ],
)
def test_bad_input_is_one_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()
