"""Ranges of frames: the right ones, read one at a time, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from temporalkd.cli.arguments import frame_range
from temporalkd.data import video
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.selection import Part
from temporalkd.data.street import Street
from temporalkd.data.video import VideoFile
from temporalkd.visualization import VideoWriter
from tests.cli_support import write_frames

STREET = Street(seed=3, length=8, size=(64, 80))


@pytest.mark.parametrize(
    ("text", "start", "stop"), [(":", 0, 8), ("2:5", 2, 5), (":3", 0, 3), ("6:", 6, 8), ("7:8", 7, 8), ("0:8", 0, 8)]
)
def test_a_range_holds_its_frames(text: str, start: int, stop: int) -> None:
    part = Part(STREET, frame_range(text, 8, STREET.name), labels=True)
    frames = list(part.same_size_frames())
    assert len(part) == len(frames) == stop - start
    for index, frame in enumerate(frames):
        assert torch.equal(frame, STREET.frame(start + index))
        assert torch.equal(part.frame(index), frame)
        assert torch.equal(part.label(index), STREET.label(start + index))  # type: ignore[arg-type]
        assert part.describe(index) == STREET.describe(start + index)
    assert (part.fps, part.labelled) == (STREET.fps, list(range(stop - start)))
    if len(part) > 1:
        motion, known = part.motion(0, 1), STREET.motion(start, start + 1)
        assert motion is not None and known is not None and torch.equal(motion.flow, known.flow)


@pytest.mark.parametrize("text", ["", "3", "a:b", "-3:", "1:2:3", "1.5:3", " 1:2", "٣:", "²:"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=rf"range '{text}': expected START:END within 0:8, .* has 8 frames"):
        frame_range(text, 8, STREET.name)


@pytest.mark.parametrize(
    ("text", "what"),
    [("8:", "goes beyond the end"), ("2:9", "goes beyond the end"), ("3:3", "no frame"), ("5:2", "no frame")],
)
def test_ranges_that_the_footage_has_not(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=rf"range '{text}' .*{what}.* has 8 frames"):
        frame_range(text, 8, STREET.name)


def test_a_video_is_decoded_no_further_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoWriter(tmp_path / "x.mp4", crf=1) as writer:
        for frame in STREET.frames():
            writer.write(frame)
    source = VideoFile(tmp_path / "x.mp4")
    whole, decoded = list(source.frames()), 0

    def counted(frame: Any, real: Any = video.to_rgb) -> Any:
        nonlocal decoded
        decoded += 1
        return real(frame)

    monkeypatch.setattr(video, "to_rgb", counted)
    frames = Part(source, range(3, 6)).frames()
    assert decoded == 0
    for index in range(3, 6):
        assert torch.equal(next(frames), whole[index])
        assert decoded == index + 1
    assert next(frames, None) is None
    assert decoded == 6
    assert Part(source, range(7, 8)).size == (64, 80)
    assert decoded == 7


def test_of_a_folder_only_the_range_is_read(tmp_path: Path) -> None:
    write_frames(tmp_path)
    for name in ("000", "004"):
        (tmp_path / "frames" / f"{name}.png").write_bytes(b"not an image")
    part = Part(FrameFolder(tmp_path / "frames"), range(1, 4))
    assert len(list(part.frames())) == 3
    assert part.size == (64, 80)
    with pytest.raises(IndexError):
        part.frame(3)
