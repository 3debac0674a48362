"""What stands in for kernels without an order of adding up gives the same values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from flow import ordered, sampling, warp


@pytest.fixture
def in_order(monkeypatch):
    """As on a GPU under `torch.use_deterministic_algorithms`."""
    for module in (ordered, sampling):
        monkeypatch.setattr(module, "must_be_ordered", lambda *tensors: any(t.requires_grad for t in tensors))


def smooth(x, size):
    return F.interpolate(x, size, mode="bilinear", antialias=True)


def with_gradients(function, *inputs):
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = function(*leaves)
    (out * torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def fields(height, width):
    random = torch.randn(2, 2, height, width, dtype=torch.float64) * 4
    odd = random.clone()
    odd[:, :, ::2] = odd[:, :, ::2].round()  # on the pixels, also those of the edge
    odd[0, 0, 0, 0], odd[1, 1, -1, -1], odd[0, 1, -1, 0] = torch.nan, 1e9, -1e9
    return {"random": random, "still": torch.zeros_like(random), "odd": odd}


@pytest.mark.parametrize("kind", ["random", "still", "odd"])
@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("size", [(9, 14), (1, 5), (2, 2)])
def test_warps_as_grid_sample_does(size, padding, kind, request):
    image, field = torch.randn(2, 3, *size, dtype=torch.float64), fields(*size)[kind]
    expected = with_gradients(lambda a, b: warp(a, b, padding=padding), image, field)
    request.getfixturevalue("in_order")
    found = with_gradients(lambda a, b: warp(a, b, padding=padding), image, field)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9, equal_nan=True)


@pytest.mark.parametrize("resize", [F.adaptive_avg_pool2d, smooth])
@pytest.mark.parametrize("size", [(3, 4), (7, 10), (1, 1), (12, 11), (20, 5)])
def test_resizes_by_products_as_the_kernels_do(size, resize, request):
    image = torch.randn(2, 3, 12, 17, dtype=torch.float64)
    expected = with_gradients(lambda x: resize(x, size), image)
    request.getfixturevalue("in_order")
    for one, other in zip(with_gradients(lambda x: ordered.resized(x, size, resize), image), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


def test_only_gradients_on_other_devices_and_only_when_asked_for():
    elsewhere, here = (torch.zeros(2, device=device, requires_grad=True) for device in ("meta", "cpu"))
    assert not ordered.must_be_ordered(elsewhere)
    torch.use_deterministic_algorithms(True)
    try:
        assert ordered.must_be_ordered(here, elsewhere)
        assert not ordered.must_be_ordered(here)
        assert not ordered.must_be_ordered(here, elsewhere.detach())
    finally:
        torch.use_deterministic_algorithms(False)
