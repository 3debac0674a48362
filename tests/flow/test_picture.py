import pytest
import torch
from torchvision.utils import flow_to_image

from flow import arrows, to_image


def test_agrees_with_torchvisions_wheel():
    y, x = torch.meshgrid(torch.linspace(-9, 9, 61), torch.linspace(-9, 9, 81), indexing="ij")
    field = torch.stack((x, y))
    image, reference = to_image(field), flow_to_image(field)
    assert image.dtype == torch.uint8
    assert (image.int() - reference.int()).abs().max() <= 1


def test_known_colours():
    right, left, still = [10.0, 0.0], [-10.0, 0.0], [0.0, 0.0]
    image = to_image(torch.tensor([right, left, still]).T.reshape(2, 1, 3))
    assert image[:, 0, 0].tolist() == [255, 0, 0]
    assert image[0, 0, 1] == 0
    assert image[1:, 0, 1].min() > 120  # left is between cyan and blue
    assert image[:, 0, 2].tolist() == [255, 255, 255]


def test_maximum_fixes_the_scale_and_darkens_beyond():
    field = torch.tensor([5.0, 10.0, 20.0]).view(1, 1, 3) * torch.tensor([1.0, 0.0]).view(2, 1, 1)
    image = to_image(field, maximum=10)
    assert image[:, 0].T.tolist() == [[255, 127, 127], [255, 0, 0], [191, 0, 0]]
    assert to_image(field)[:, 0, 1].tolist() == [255, 127, 127]


def test_unknown_flow_is_black_and_does_not_set_the_scale():
    field = torch.zeros(1, 2, 1, 4)
    field[0, 0, 0] = torch.tensor([4.0, float("nan"), float("inf"), 1e10])
    image = to_image(field)
    assert image[:, 0, 0].tolist() == [255, 0, 0]
    assert not image[:, 0, 1:].any()


def test_arrows_point_where_the_content_goes():
    image = torch.zeros(3, 33, 65)
    field = torch.zeros(2, 33, 65)
    field[:, 16, 16] = torch.tensor([30.0, 0.0])
    drawn = arrows(image, field, step=32)
    assert drawn.dtype == torch.uint8
    assert drawn[0, 16, 20:44].min() > 200
    assert drawn[2].max() == 0
    assert not drawn[:, 16, :14].any()
    assert not drawn[:, :, 50:].any() or drawn[:, 16, 50:].sum() < 3 * 255
    assert not image.any()


def test_arrows_leave_out_what_is_not_finite():
    field = torch.full((2, 20, 20), float("nan"))
    frame = (torch.rand(3, 20, 20) * 255).byte()
    assert torch.equal(arrows(frame, field, step=4), frame)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: to_image(torch.zeros(3, 4, 5)), r"\(3, 4, 5\)"),
        (lambda: to_image(torch.zeros(2, 4, 5), maximum=0), "maximum"),
        (lambda: arrows(torch.zeros(3, 4, 5), torch.zeros(2, 4, 6)), r"\(3, 4, 5\).*\(2, 4, 6\)"),
        (lambda: arrows(torch.zeros(1, 4, 5), torch.zeros(2, 4, 5)), r"\(1, 4, 5\)"),
        (lambda: arrows(torch.zeros(3, 4, 5), torch.zeros(2, 4, 5), step=0), "step"),
    ],
)
def test_bad_input_is_one_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()
