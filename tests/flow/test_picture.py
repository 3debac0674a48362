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
