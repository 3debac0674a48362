"""Folders of images and labels: what is read, and every way in which they can be wrong."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temporalkd.data.frames import ImageFolder, MapFolder, open_frames
from temporalkd.data.images import read_image, read_map, write_map
from temporalkd.data.video import VideoFile

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
INDICES = (np.arange(24 * 32).reshape(24, 32) % 5).astype(np.uint8)


def save(path: Path, array: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def save_palette(path: Path, indices: np.ndarray) -> Path:
    image = Image.fromarray(indices, mode="P")
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(path)
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
    folder = ImageFolder(scene / "images", scene / "labels", classes=5, fps=15)
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
    assert isinstance(folder, ImageFolder)
    assert folder.labelled == []
    assert folder.label(0) is None


def test_void_and_mapping(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.array([[0, 1, 11], [11, 255, 7]], dtype=np.uint8))
    assert read_map(path, classes=8, void=(11, 255)).tolist() == [[0, 1, 255], [255, 255, 7]]
    assert read_map(path, classes=8, void=255, mapping={11: 1}).tolist() == [[0, 1, 1], [1, 255, 7]]
    assert read_map(path, classes=8, void=(11, 255), mapping={11: 1, 7: 255}).tolist() == [[0, 1, 1], [1, 255, 255]]
    assert read_map(path).tolist() == [[0, 1, 11], [11, 255, 7]]


def test_palette_labels_give_indices_not_colours(tmp_path: Path) -> None:
    assert torch.equal(read_map(save_palette(tmp_path / "p.png", INDICES), classes=5), torch.from_numpy(INDICES))


def test_labels_of_few_and_many_bits(tmp_path: Path) -> None:
    four = save_png(tmp_path / "4.png", bytes([0, 0x01, 0x23, 0, 0x45, 0x6F]), 4, 2, bits=4)
    assert read_map(four, void=15).tolist() == [[0, 1, 2, 3], [4, 5, 6, 255]]
    two = save_png(tmp_path / "2.png", bytes([0, 0b00011011]), 4, 1, bits=2)
    assert read_map(two).tolist() == [[0, 1, 2, 3]]
    one = save_png(tmp_path / "1.png", bytes([0, 0b01010000]), 4, 1, bits=1)
    assert read_map(one).tolist() == [[0, 1, 0, 1]]
    sixteen = save(tmp_path / "16.png", np.array([[3, 65535]], dtype=np.uint16))
    assert read_map(sixteen, classes=4, void=65535).tolist() == [[3, 255]]
    with pytest.raises(ValueError, match=r"16\.png: value 65535 .* expected one of 4 classes"):
        read_map(sixteen, classes=4)


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
    folder = ImageFolder(tmp_path / "f", tmp_path / "l")
    assert folder.frame(0).shape == (3, 32, 24)
    label = folder.label(0)
    assert label is not None
    assert label.shape == (32, 24)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a folder of images or a video"):
        open_frames(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"empty, expected images \(png, jpg"):
        ImageFolder(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt: not a folder"):
        ImageFolder(tmp_path / "notes.txt")


def test_labels_and_frames_must_match(scene: Path) -> None:
    (scene / "labels/frame_2.png").unlink()
    (scene / "labels/frame_10.png").unlink()
    with pytest.raises(ValueError, match=r"2 frames without a map in .*labels, the first is 'frame_2'"):
        ImageFolder(scene / "images", scene / "labels")
    sparse = ImageFolder(scene / "images", scene / "labels", partial=True)
    assert sparse.labelled == [0]
    assert sparse.label(1) is None
    save(scene / "labels/other.png", INDICES)
    with pytest.raises(ValueError, match=r"1 maps without a frame in .*labels, the first is 'other'"):
        ImageFolder(scene / "images", scene / "labels", partial=True)


def test_two_files_of_one_frame(scene: Path) -> None:
    save(scene / "images/frame_2.jpg", NOISE)
    with pytest.raises(ValueError, match=r"frame_2\.jpg and frame_2\.png claim the same frame"):
        ImageFolder(scene / "images")


def test_label_of_another_size(scene: Path) -> None:
    save(scene / "labels/frame_2.png", INDICES[:20])
    folder = ImageFolder(scene / "images", scene / "labels")
    folder.label(0)
    with pytest.raises(ValueError, match=r"frame_2\.png: label is 32x20, expected 32x24 like its frame"):
        folder.label(1)


def test_label_value_out_of_range(scene: Path) -> None:
    folder = ImageFolder(scene / "images", scene / "labels", classes=4)
    with pytest.raises(ValueError, match=r"frame_1\.png: value 4 at row 0, column 5 \(.*one of 4 classes \(0 to 3\)"):
        folder.label(0)


def test_colour_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"c\.png: a colour image \(mode RGB\), expected class indices"):
        read_map(save(tmp_path / "c.png", NOISE))


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


def test_damaged_png_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path / "bits.png", NOISE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"bits\.png: broken or truncated"):
        read_image(path)


@pytest.mark.parametrize("side", [12_000, 60_000])
@pytest.mark.filterwarnings("ignore:Image size")
def test_absurd_sizes_are_refused_with_the_limit(tmp_path: Path, side: int) -> None:
    path = save_png(tmp_path / "bomb.png", b"", side, side, bits=8)
    with pytest.raises(ValueError, match=r"bomb\.png: refused.*134217728 pixels"):
        read_map(path)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_written_maps_are_read_back(tmp_path: Path, dtype: torch.dtype) -> None:
    labels = torch.from_numpy(INDICES).to(dtype)
    labels[0, 0] = 255
    write_map(tmp_path / "a.png", labels)
    assert torch.equal(read_map(tmp_path / "a.png", classes=5), labels.to(torch.uint8))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_what_is_no_map_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.png: a class map is \(H, W\) integers, got torch.float32 \(2, 2\)"):
        write_map(tmp_path / "a.png", torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"a\.png: a class map has pixels of 0 to 255"):
        write_map(tmp_path / "a.png", torch.full((2, 2), 256))
    with pytest.raises(OSError, match=r"cannot write class map .*a\.png"):
        write_map(tmp_path / "nowhere" / "a.png", torch.zeros(2, 2, dtype=torch.uint8))
    assert list(tmp_path.iterdir()) == []


def test_bad_class_tables() -> None:
    with pytest.raises(ValueError, match="classes must be 1 to 255, got 300"):
        read_map(Path("x.png"), classes=300)
    with pytest.raises(ValueError, match="mapping 3 -> 9: expected a class 0 to 4"):
        read_map(Path("x.png"), classes=5, mapping={3: 9})


def test_map_folder_matches_frames_by_name(scene: Path) -> None:
    maps = MapFolder(scene / "labels", classes=5)
    assert (len(maps), maps.stems) == (3, ["frame_1", "frame_2", "frame_10"])
    assert all(torch.equal(a, maps[i]) for i, a in enumerate(maps))
    maps.require(["frame_10", "frame_2", "frame_1"])
    with pytest.raises(ValueError, match="1 frames without a map"):
        maps.require(["frame_10", "frame_2", "frame_1", "frame_3"])
    with pytest.raises(IndexError):
        maps[3]


@pytest.mark.real
def test_camvid_folder(data_root: Path) -> None:
    camvid = data_root / "data" / "camvid"
    folder = ImageFolder(camvid / "val", camvid / "valannot", classes=11, void=11, fps=15)
    assert len(folder) == 101
    label = folder.label(50)
    assert label is not None
    assert set(label.unique().tolist()) <= {*range(11), 255}
    with pytest.raises(ValueError, match="value 11 "):
        for index in range(101):
            ImageFolder(camvid / "val", camvid / "valannot", classes=11).label(index)


@pytest.mark.real
def test_open_frames_of_a_video(data_root: Path) -> None:
    assert isinstance(open_frames(data_root / "data" / "video" / "solid_white_right.mp4"), VideoFile)
