"""Folders of images and labels: what is read, and every way in which they can be wrong."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temporalkd.data.datasets import Folder
from temporalkd.data.footage import absent_classes
from temporalkd.data.image_folder import FrameFolder, MapFolder, open_frames
from temporalkd.data.images import read_image
from temporalkd.data.label_maps import read_map
from temporalkd.data.palettes import Palette
from temporalkd.data.video import VideoFile

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
INDICES = (np.arange(24 * 32).reshape(24, 32) % 5).astype(np.uint8)
FIVE = Palette(
    ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 129)), tuple("abcde"), ((224, 224, 192),), "five"
)


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def save_png(path: Path, rows: bytes, width: int, height: int, bits: int, colour: int = 0) -> Path:
    """A PNG of any bit depth, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    for index in (1, 2, 10):
        save(tmp_path / f"images/frame_{index}.png", np.roll(NOISE, index, axis=1))
        save(tmp_path / f"labels/frame_{index}.png", np.roll(INDICES, index, axis=1))
    return tmp_path


def test_frames_and_labels_come_in_temporal_order(scene: Path) -> None:
    folder = FrameFolder(scene / "images", scene / "labels", classes=5, fps=15)
    assert (len(folder), folder.name, folder.fps, folder.labelled) == (3, "images", 15.0, [0, 1, 2])
    for position, index in enumerate((1, 2, 10)):
        expected = torch.from_numpy(np.roll(NOISE, index, axis=1)).permute(2, 0, 1)
        assert torch.equal(folder.frame(position), expected)
        label = folder.label(position)
        assert label is not None
        assert label.dtype == torch.uint8
        assert torch.equal(label, torch.from_numpy(np.roll(INDICES, index, axis=1)))
    assert [torch.equal(a, folder.frame(i)) for i, a in enumerate(folder.frames())] == [True] * 3


def test_without_labels(scene: Path) -> None:
    folder = open_frames(scene / "images")
    assert isinstance(folder, FrameFolder)
    assert folder.labelled == []
    assert folder.label(0) is None


def test_any_image_becomes_8_bit_rgb(tmp_path: Path) -> None:
    grey = NOISE[..., 0]
    as_rgb = torch.from_numpy(grey).expand(3, -1, -1)
    assert torch.equal(read_image(save(tmp_path / "grey.png", grey)), as_rgb)
    assert torch.equal(read_image(save(tmp_path / "deep.png", grey.astype(np.uint16) * 257)), as_rgb)
    rgba = np.dstack([NOISE, grey])
    colour = torch.from_numpy(NOISE).permute(2, 0, 1)
    assert torch.equal(read_image(save(tmp_path / "rgba.png", rgba)), colour)
    assert torch.equal(read_image(save(tmp_path / "b.bmp", NOISE)), colour)
    assert torch.equal(read_image(save(tmp_path / "w.webp", NOISE, lossless=True)), colour)
    deep_colour = NOISE.astype(">u2") * 256 + 7
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep_colour)
    assert torch.equal(read_image(save_png(tmp_path / "48.png", rows, 32, 24, bits=16, colour=2)), colour)


def test_orientation_is_applied_to_frames_and_their_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "f/a.jpg", np.full((24, 32, 3), 90, np.uint8), exif=exif)
    save(tmp_path / "l/a.png", INDICES.T.copy())
    folder = FrameFolder(tmp_path / "f", tmp_path / "l")
    assert folder.frame(0).shape == (3, 32, 24)
    label = folder.label(0)
    assert label is not None
    assert label.shape == (32, 24)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        FrameFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a folder of images or a video"):
        open_frames(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"1 \.txt files, expected images \(png, jpg"):
        FrameFolder(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt: not a folder"):
        FrameFolder(tmp_path / "notes.txt")


def test_labels_and_frames_must_match(scene: Path) -> None:
    (scene / "labels/frame_2.png").unlink()
    (scene / "labels/frame_10.png").unlink()
    with pytest.raises(ValueError, match=r"2 frames without a map in .*labels, the first is 'frame_2'"):
        FrameFolder(scene / "images", scene / "labels")
    sparse = FrameFolder(scene / "images", scene / "labels", partial=True)
    assert sparse.labelled == [0]
    assert sparse.label(1) is None
    save(scene / "labels/other.png", INDICES)
    with pytest.raises(ValueError, match=r"1 maps without a frame in .*labels, the first is 'other'"):
        FrameFolder(scene / "images", scene / "labels", partial=True)


def test_two_files_of_one_frame(scene: Path) -> None:
    save(scene / "images/frame_2.jpg", NOISE)
    with pytest.raises(ValueError, match=r"frame_2\.jpg and frame_2\.png claim the same frame"):
        FrameFolder(scene / "images")


def test_label_of_another_size(scene: Path) -> None:
    save(scene / "labels/frame_2.png", INDICES[:20])
    folder = FrameFolder(scene / "images", scene / "labels")
    folder.label(0)
    with pytest.raises(ValueError, match=r"frame_2\.png: label is 32x20, expected 32x24 like its frame"):
        folder.label(1)


def test_label_value_out_of_range(scene: Path) -> None:
    folder = FrameFolder(scene / "images", scene / "labels", classes=4)
    with pytest.raises(ValueError, match=r"frame_1\.png: value 4 at row 0, column 5 \(.*one of 4 classes \(0 to 3\)"):
        folder.label(0)


def test_labels_in_colours(scene: Path) -> None:
    colours = np.array(FIVE.colours, np.uint8)
    for index in (1, 2, 10):
        save(scene / f"colours/frame_{index}.png", colours[np.roll(INDICES, index, axis=1)])
    folder = FrameFolder(scene / "images", scene / "colours", classes=5, palette=FIVE)
    label = folder.label(1)
    assert label is not None
    assert torch.equal(label, torch.from_numpy(np.roll(INDICES, 2, axis=1)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_truncated_images_are_errors_not_grey(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cut.{suffix}", np.kron(NOISE, np.ones((4, 4, 1), np.uint8)))
    read_image(path)
    whole = path.read_bytes()
    for share in (0.9, 0.5, 0.1):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=rf"cut\.{suffix}: "):
            read_image(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="not a readable image"):
        read_image(path)


def test_map_folder_matches_frames_by_name(scene: Path) -> None:
    maps = MapFolder(scene / "labels", classes=5)
    assert (len(maps), maps.stems) == (3, ["frame_1", "frame_2", "frame_10"])
    assert all(torch.equal(a, maps[i]) for i, a in enumerate(maps))
    maps.require(["frame_10", "frame_2", "frame_1"])
    with pytest.raises(ValueError, match="1 frames without a map"):
        maps.require(["frame_10", "frame_2", "frame_1", "frame_3"])
    with pytest.raises(IndexError):
        maps[3]


FRAMES = [f"0016E5_{i:05d}" for i in (7959, 7961, 7963, 7965, 7967)]


@pytest.mark.parametrize(
    ("rename", "says"),
    [
        ("{}_pred", " (data sets of such maps: set suffix: '_pred')"),
        ("pred_{}", ""),
    ],
)
def test_maps_with_a_prefix_or_suffix(tmp_path: Path, rename: str, says: str) -> None:
    names = [rename.format(frame) for frame in FRAMES]
    for name in names:
        save(tmp_path / f"maps/{name}.png", INDICES)
    with pytest.raises(ValueError, match="names must match") as error:
        MapFolder(tmp_path / "maps").require(FRAMES)
    assert str(error.value) == (
        f"5 maps without a frame in {tmp_path}/maps, the first is '{names[0]}', then '{names[1]}', '{names[2]}'; "
        f"5 frames without a map, the first is '{FRAMES[0]}', then '{FRAMES[1]}', '{FRAMES[2]}': names must match up "
        f"to the extension{says}"
    )


@pytest.mark.real
def test_camvid_folder(data_root: Path) -> None:
    camvid = data_root / "data" / "camvid"
    folder = FrameFolder(camvid / "val", camvid / "valannot", classes=11, void=11, fps=15)
    assert len(folder) == 101
    label = folder.label(50)
    assert label is not None
    assert set(label.unique().tolist()) <= {*range(11), 255}
    with pytest.raises(ValueError, match="value 11 "):
        for index in range(101):
            FrameFolder(camvid / "val", camvid / "valannot", classes=11).label(index)


@pytest.mark.real
def test_open_frames_of_a_video(data_root: Path) -> None:
    assert isinstance(open_frames(data_root / "data" / "video" / "solid_white_right.mp4"), VideoFile)


def test_an_indexed_image_is_read_by_its_colours(tmp_path: Path) -> None:
    """The numbers of a quantised image are the order of its own colour table."""
    colours = np.array(FIVE.colours, np.uint8)[INDICES]
    Image.fromarray(colours).quantize(5).save(tmp_path / "colours.png")
    assert (np.asarray(Image.open(tmp_path / "colours.png")) != INDICES).any()
    assert torch.equal(read_map(tmp_path / "colours.png", palette=FIVE), torch.from_numpy(INDICES))
    grey = Image.fromarray(INDICES, mode="P")
    grey.putpalette(bytes(np.arange(256, dtype=np.uint8).repeat(3)))
    grey.save(tmp_path / "numbers.png")
    assert torch.equal(read_map(tmp_path / "numbers.png", palette=FIVE), torch.from_numpy(INDICES))


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_maps_of_other_formats(tmp_path: Path, suffix: str) -> None:
    for index in range(2):
        place = tmp_path / f"{index}{suffix}"
        np.save(place, INDICES.astype(np.int64)) if suffix == ".npy" else save(place, INDICES)
    assert all(torch.equal(found, torch.from_numpy(INDICES)) for found in MapFolder(tmp_path, classes=5))
    np.save(tmp_path / "1.npy", NOISE.astype(np.float32))
    with pytest.raises(ValueError, match=r"1\.npy"):
        read_map(tmp_path / "1.npy")


def test_a_folder_of_other_files_is_not_called_empty(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "maps" / name, NOISE)
    with pytest.raises(ValueError, match=r"2 \.jpg files.*compression"):
        MapFolder(tmp_path / "maps")
    with pytest.raises(ValueError, match="folders only"):
        MapFolder(tmp_path)


@pytest.mark.parametrize("square", [False, True])
def test_labels_that_are_not_turned_like_their_frames(tmp_path: Path, square: bool) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    side = 24 if square else 32
    save(tmp_path / "frames/0.jpg", NOISE[:, :side], exif=exif)
    save(tmp_path / "labels/0.png", INDICES[:, :side])
    folder = FrameFolder(tmp_path / "frames", tmp_path / "labels")
    if square:
        with pytest.warns(UserWarning, match="EXIF orientation 6"):
            folder.label(0)
    else:
        with pytest.raises(ValueError, match="EXIF orientation 6"):
            folder.label(0)


def test_a_range_of_16_bit_values_becomes_8_bits(tmp_path: Path) -> None:
    values = (7200 + np.arange(24 * 32).reshape(24, 32)).astype(np.uint16)
    save(tmp_path / "0.png", values)
    with pytest.warns(UserWarning, match="value_range"):
        assert len(read_image(tmp_path / "0.png").unique()) == 4
    stretched = FrameFolder(tmp_path, value_range=(7200, 7200 + 24 * 32 - 1)).frame(0)
    assert (int(stretched.min()), int(stretched.max()), len(stretched.unique())) == (0, 255, 256)


def test_footage_is_checked_whole(scene: Path) -> None:
    FrameFolder(scene / "images", scene / "labels", classes=5).check()
    with pytest.raises(ValueError, match=r"frame_1\.png"):
        FrameFolder(scene / "images", scene / "labels", classes=4).check()
    save(scene / "images/frame_10.png", NOISE[:-2])
    with pytest.raises(ValueError, match=r"frame_10\.png: 32x22"):
        FrameFolder(scene / "images", scene / "labels", classes=5).check()


def test_named_classes_that_no_label_has(scene: Path) -> None:
    def absent(images: str, labels: str, names: str) -> str | None:
        return absent_classes(
            Folder(images=str(scene / images), labels=str(scene / labels), class_names=[*names]).open()
        )

    assert absent("images", "labels", "abcde") is None
    assert "class f in" in str(absent("images", "labels", "abcdef"))
    save(scene / "masks/0.png", np.where(INDICES == 1, 255, 0).astype(np.uint8))
    save(scene / "stills/0.png", NOISE)
    told = str(absent("stills", "masks", "01"))
    assert "class 1 in" in told and "20.1 %" in told and "mapping" in told
