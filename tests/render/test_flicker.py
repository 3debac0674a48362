"""The flicker video: the pixels that flip are the red ones, the numbers are right, and nothing piles up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import pytest
import torch

import flow
from temporalkd.render import flicker
from temporalkd.render.flicker import flicker_frames, render_flicker
from temporalkd.render.layout import column, contact_sheet
from temporalkd.render.overlay import RED

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


def reds(picture: torch.Tensor) -> torch.Tensor:
    return (picture == torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1)).all(0)


def test_red_is_where_the_class_flips() -> None:
    systems = {"steady": still(3), "blinking": blinking(3)}
    pages = list(flicker_frames(video(3), systems, flow=constant_flow(3), palette=PALETTE, scale=1))
    assert len(pages) == 3
    for page in pages[:2]:
        red = reds(page)
        assert int(red.sum()) == 6 * 10
        rows, columns = red.nonzero().T
        below = TITLE + HEIGHT + 4
        assert (rows.min() - below, rows.max() - below) == (4, 9)
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


def test_small_frames_are_enlarged_by_whole_pixels() -> None:
    pages = flicker_frames(video(2), {"a": blinking(2)}, flow=constant_flow(2), palette=PALETTE, scale=3)
    first = next(pages)
    assert first.shape[2] == 3 * WIDTH
    assert int(reds(first).sum()) == 9 * 60
    automatic = next(flicker_frames(video(2), {"a": still(2)}, flow=constant_flow(2), palette=PALETTE))
    assert automatic.shape[2] == 10 * WIDTH


def test_the_caption_carries_the_numbers_of_all_pairs_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def spy(name: str, numbers: str, *rest: object) -> list[torch.Tensor]:
        shown.append(numbers)
        return column(name, numbers, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(flicker, "column", spy)
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

    motion = flow.build("zero") if estimated else constant_flow(50)
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
        flow=flow.build("zero"),
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


def test_a_single_frame_is_drawn_without_numbers() -> None:
    for motion in (flow.build("zero"), constant_flow(1)):
        assert len(list(flicker_frames(video(1), {"a": still(1)}, flow=motion, palette=PALETTE))) == 1


def test_bad_input() -> None:
    small = [torch.zeros(HEIGHT, WIDTH - 1, dtype=torch.uint8)] * 2
    with pytest.raises(ValueError, match=r"'a': maps are \(24, 39\) .* expected \(24, 40\)"):
        list(flicker_frames(video(2), {"a": small}, flow=constant_flow(2), palette=PALETTE))
    with pytest.raises(ValueError, match="one to 4 systems"):
        next(flicker_frames(video(2), {}, flow=constant_flow(2), palette=PALETTE))
    with pytest.raises(ValueError, match="scale must be a whole number from 1, got 0"):
        next(flicker_frames(video(2), {"a": still(2)}, flow=constant_flow(2), palette=PALETTE, scale=0))


def test_contact_sheet(tmp_path: Path) -> None:
    def pages() -> Iterator[torch.Tensor]:
        yield from flicker_frames(video(9), {"a": blinking(9)}, flow=constant_flow(9), palette=PALETTE, scale=1)

    one = next(pages())
    out = tmp_path / "new" / "sheet.png"
    assert contact_sheet(pages(), out, at=[0, 3]) == 2
    sheet = cv2.imread(str(out))[..., ::-1]
    assert sheet.shape == (2 * one.shape[1] + 12, one.shape[2], 3)
    assert (sheet[: one.shape[1]] == one.permute(1, 2, 0).numpy()).all()
    with pytest.raises(ValueError, match=r"none of the frames \[20\] exists"):
        contact_sheet(pages(), out, at=[20])
