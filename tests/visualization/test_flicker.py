"""The flicker video: the pixels that flip are the red ones, the numbers are right, and nothing piles up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import torch

import flow
from temporalkd.visualization import flicker
from temporalkd.visualization.flicker import flicker_frames, render_flicker
from temporalkd.visualization.heatmap import heat_colours, heatmap_level
from temporalkd.visualization.layout import Panel, page
from temporalkd.visualization.overlay import RED

PALETTE = [(40, 160, 60), (60, 90, 220), (230, 200, 60)]
HEIGHT, WIDTH = 24, 40
TITLE = 19  # rows of the title bar over panels of that width


def video(count: int) -> Iterator[torch.Tensor]:
    for index in range(count):
        yield torch.full((3, HEIGHT, WIDTH), (20 * index) % 256, dtype=torch.uint8)


def still(count: int) -> Iterator[torch.Tensor]:
    for _ in range(count):
        yield torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)


def blinking(count: int) -> Iterator[torch.Tensor]:
    """A square of class 1 in every other frame."""
    for index in range(count):
        labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
        labels[4:10, 5:15] = index % 2
        yield labels


def constant_flow(count: int, dx: float = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    forward = torch.zeros(1, 2, HEIGHT, WIDTH)
    forward[:, 0] = dx
    for _ in range(count - 1):
        yield forward, -forward


def below(picture: torch.Tensor, scale: int = 1) -> torch.Tensor:
    """The lower row of panels, without the explanation below it."""
    top = TITLE + HEIGHT * scale + 4
    return picture[:, top : top + HEIGHT * scale]


def reds(picture: torch.Tensor, scale: int = 1) -> torch.Tensor:
    return (below(picture, scale) == torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1)).all(0)


def test_red_is_where_the_class_flips() -> None:
    systems = {"steady": still(3), "blinking": blinking(3)}
    pages = list(flicker_frames(video(3), systems, flow=constant_flow(3), palette=PALETTE, scale=1))
    assert len(pages) == 3
    for picture in pages[:2]:
        red = reds(picture)
        assert int(red.sum()) == 6 * 10
        rows, columns = red.nonzero().T
        assert (rows.min(), rows.max()) == (4, 9)
        assert (columns.min() - WIDTH - 4, columns.max() - WIDTH - 4) == (5, 14)
    assert not reds(pages[2]).any()  # the last frame has no next one
    # the overlay above shows the class itself, half and half with the frame
    assert pages[1][:, TITLE + 6, WIDTH + 4 + 8].tolist() == [40, 55, 120]


def test_flips_are_counted_along_the_motion() -> None:
    """A map that moves with the flow does not flip; the same map under zero flow does."""

    def moving() -> Iterator[torch.Tensor]:
        for index in range(4):
            labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
            labels[8:16, 5 + 3 * index : 15 + 3 * index] = 2
            yield labels

    followed = flicker_frames(video(4), {"a": moving()}, flow=constant_flow(4, dx=3), palette=PALETTE, scale=1)
    assert not any(reds(page).any() for page in followed)
    ignored = flicker_frames(video(4), {"a": moving()}, flow=constant_flow(4), palette=PALETTE, scale=1)
    assert [int(reds(page).sum()) for page in ignored] == [2 * 3 * 8] * 3 + [0]


def test_void_never_flips() -> None:
    maps = [torch.full((HEIGHT, WIDTH), value, dtype=torch.uint8) for value in (0, 255, 1)]
    pages = flicker_frames(video(3), {"a": maps}, flow=constant_flow(3), palette=PALETTE, scale=1)
    assert not any(reds(page).any() for page in pages)


def test_the_caption_carries_the_numbers_of_all_pairs_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def spy(frame: torch.Tensor, panels: list[Panel], *rest: object) -> torch.Tensor:
        shown.append(panels[0].numbers)
        return page(frame, panels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(flicker, "page", spy)
    list(flicker_frames(video(3), {"a": blinking(3)}, flow=constant_flow(3), palette=PALETTE))
    share = 100 * 60 / (HEIGHT * WIDTH)  # 60 pixels blink in each of the two pairs
    assert shown[0].endswith(f"flips {share:.2f} %")
    assert shown[1] == shown[2] and shown[1].endswith(f"flips {share:.2f} %")


@pytest.mark.parametrize("estimated", [True, False])
def test_memory_is_constant_because_everything_is_read_as_it_is_drawn(estimated: bool) -> None:
    read = {"frames": 0, "maps": 0}

    def counted(kind: str, items: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        for item in items:
            read[kind] += 1
            yield item

    motion = flow.build("zero").video if estimated else constant_flow(50)
    pages = flicker_frames(
        counted("frames", video(50)), {"a": counted("maps", still(50))}, flow=motion, palette=PALETTE, scale=1
    )
    for drawn, _ in enumerate(pages, start=1):
        assert read["frames"] <= drawn + 1
        assert read["maps"] <= drawn + 1
    assert (drawn, read["frames"], read["maps"]) == (50, 50, 50)


def test_render_writes_a_video_that_plays(tmp_path: Path) -> None:
    done: list[int] = []
    systems = {"baseline": blinking(6), "ours": still(6), "teacher": still(6)}
    out = tmp_path / "flicker.mp4"
    count = render_flicker(
        video(6),
        systems,
        out,
        flow=flow.build("zero").video,
        palette=PALETTE,
        classes=["road", "sky", "tree"],
        fps=15,
        scale=4,
        progress=done.append,
    )
    assert (count, done) == (6, [1, 2, 3, 4, 5, 6])
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].average_rate == 15
        assert len(frames) == 6
        assert frames[0].width == 3 * 4 * WIDTH + 2 * 4
    picture = frames[0].to_ndarray(format="rgb24").astype(int)
    close = abs(picture - RED).max(2) < 40
    assert close.sum() == pytest.approx(60 * 16, rel=0.15)
    assert [file.name for file in tmp_path.iterdir()] == ["flicker.mp4"]


@pytest.mark.parametrize(
    ("frames", "maps", "motions", "message"),
    [
        (5, 4, 5, "'a' has 4 maps, but there are more frames"),
        (5, 6, 5, r"'a' has more maps than there are frames \(5\)"),
        (5, 5, 3, "motion for fewer pairs than there are frames"),
        (0, 0, 0, "no frames to render"),
    ],
)
def test_lengths_must_match_and_nothing_is_left(
    tmp_path: Path, frames: int, maps: int, motions: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render_flicker(
            video(frames), {"a": still(maps)}, tmp_path / "x.mp4", flow=constant_flow(motions), palette=PALETTE
        )
    assert list(tmp_path.iterdir()) == []


def test_heat_stays_where_flips_were_and_fades() -> None:
    """One flip at frame 1; from then on heat at that place, less each frame, nothing elsewhere, and no red."""

    def once() -> Iterator[torch.Tensor]:
        for index in range(40):
            labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
            labels[4:10, 5:15] = index > 1
            yield labels

    still_frames = (torch.full((3, HEIGHT, WIDTH), 90, dtype=torch.uint8) for _ in range(40))
    pages = list(flicker_frames(still_frames, {"a": once()}, flow=constant_flow(40), palette=PALETTE, scale=1, trail=5))
    assert [int(reds(picture).sum()) for picture in pages] == [0, 60] + 38 * [0]
    grey = below(pages[0])[:, 0, 0]
    square = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    square[4:10, 5:15] = True
    for index in range(2, 20):
        warm = (below(pages[index]) != grey.view(3, 1, 1)).any(0)
        assert torch.equal(warm, square)
    after_one = heat_colours(heatmap_level(torch.tensor([[math.exp(-1 / 5)]]))).flatten()
    assert (below(pages[2])[:, 5, 6].int() - after_one).abs().max() < 12  # nearly opaque
    assert torch.equal(below(pages[39]), below(pages[0]))  # 38 frames are 7.6 times the trail


def test_the_numbers_counted_by_hand() -> None:
    """Two pairs of 4 pixels each, under motion of one pixel to the right: 3 are visible, void does not count."""
    maps = [torch.tensor([row], dtype=torch.uint8) for row in ([0, 0, 1, 1], [2, 0, 1, 1], [2, 2, 0, 255])]
    forward = torch.zeros(1, 2, 1, 4)
    forward[:, 0] = 1
    system = flicker._System("a", iter(maps), 3, flicker.Heat())
    frame = torch.zeros(3, 1, 4)
    first = system.show(0, frame, (forward, -forward))
    # 0 0 1 against 0 1 1: the middle one flips. IoU of class 0 is 1/2, of class 1 is 1/2; class 2 is in neither.
    assert first.flips.tolist() == [[False, True, False, False]]
    assert first.numbers == "consistency 50.0 %   flips 33.33 %"
    second = system.show(1, frame, (forward, -forward))
    # 2 0 1 against 2 0 void, so that in both pairs together class 0 has 2 of 3, class 1 1 of 2, class 2 1 of 1.
    assert not second.flips.any()
    assert second.numbers == f"consistency {100 * (2 / 3 + 1 / 2 + 1) / 3:.1f} %   flips 20.00 %"
    assert system.show(2, frame, None).numbers == second.numbers
