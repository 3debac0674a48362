"""Frames and labels that cannot be used."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bad_input.support import Cases, consistency, copied, must_be_refused, train, train_on_folder, write_map_file
from tests.cli_support import SIZE, World, tiny_config, write_config

case = Cases()


@case(1, "nowhere", "no such folder or file, expected a folder of images or a video")
def missing_folder(world: World, tmp: Path) -> list[Any]:
    return consistency(world, tmp / "nowhere")


@case(1, "frames: no such folder, expected one with images")
def missing_training_folder(world: World, tmp: Path) -> list[Any]:
    (tmp / "labels").mkdir()
    command = train_on_folder(tmp)
    config = Path(command[1])
    config.write_text(config.read_text().replace("images: frames", f"images: {tmp}/frames"))
    return command


@case(1, "void: empty, expected images")
def empty_folder(world: World, tmp: Path) -> list[Any]:
    (tmp / "void").mkdir()
    return consistency(world, tmp / "void")


@case(1, "frames", "not a readable video")
def frames_is_a_text_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "frames").write_text("not a folder")
    return consistency(world, tmp / "frames")


@case(1, "002.png: label is 81x64, expected 80x64 like its frame 002.png")
def label_of_another_size(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/002.png", np.zeros((64, 81)))
    return train_on_folder(tmp, training={"steps": 20})


@case(1, "003.png: label is 81x64, expected 80x64 like its frame")
def label_of_another_size_in_consistency(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/003.png", np.zeros((64, 81)))
    return consistency(world, tmp / "frames", None, "--labels", tmp / "labels", "--classes", 9)


@case(1, "001.png: value 77 at row 5, column 7", "expected one of 9 classes")
def label_out_of_range(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    values = np.zeros(SIZE)
    values[5, 7] = 77
    write_map_file(tmp / "labels/001.png", values)
    return train_on_folder(tmp, training={"steps": 20})


@case(1, "000.png: a colour image", "expected class indices")
def label_in_colours(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/000.png", np.zeros((*SIZE, 3)))
    return train_on_folder(tmp, training={"steps": 20})


@case(1, "1 frames without a map in", "labels", "'003'", "names must match")
def frame_without_label(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    (tmp / "labels/003.png").unlink()
    return train_on_folder(tmp)


@case(1, "002.png: not a readable image, expected png, jpg, bmp, webp or tiff")
def unreadable_image(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    (tmp / "frames/002.png").write_bytes(np.random.default_rng(0).bytes(500))
    return train_on_folder(tmp, training={"steps": 20})


@case(1, "002.png: broken or truncated image")
def truncated_png(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    path = tmp / "frames/002.png"
    path.write_bytes(path.read_bytes()[:700])
    return ["predict", world.run, tmp / "frames", "-o", tmp / "out"]


@case(1, "002.jpg: broken or truncated image")
def truncated_jpeg(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    path = tmp / "frames/002.jpg"
    Image.open(tmp / "frames/002.png").save(path)
    (tmp / "frames/002.png").unlink()
    path.write_bytes(path.read_bytes()[:700])
    return ["render", "--frames", tmp / "frames", "--left", world.run, "--flow", "dis", "-o", tmp / "out.mp4"]


@case(1, "frames/002.png: 81x64, expected 80x64 like the other frames of frames")
def frames_of_different_sizes(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "frames/002.png", np.zeros((64, 81, 3)))
    write_map_file(tmp / "labels/002.png", np.zeros((64, 81)))
    return consistency(world, tmp / "frames", tmp / "labels")


@case(1, "frames/00.*: 8.x64, expected 8.x64 like the other frames of frames")
def clip_of_frames_of_different_sizes(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "frames/002.png", np.zeros((64, 81, 3)))
    write_map_file(tmp / "labels/002.png", np.zeros((64, 81)))
    return train_on_folder(tmp, training={"steps": 20, "batch": 1}, data={"frames": 3, "gaps": [1, 1]})


@case(1, "nowhere.mp4: no such folder or file, expected a folder of images or a video")
def missing_video(world: World, tmp: Path) -> list[Any]:
    return ["predict", world.run, tmp / "nowhere.mp4", "-o", tmp / "out"]


@case(1, "text.mp4: not a readable video")
def text_as_video(world: World, tmp: Path) -> list[Any]:
    (tmp / "text.mp4").write_text("this is no video\n" * 50)
    return ["predict", world.run, tmp / "text.mp4", "-o", tmp / "out"]


@case(1, "sound.mp4: no video stream", "expected a video or a folder of images")
def sound_as_video(world: World, tmp: Path) -> list[Any]:
    with wave.open(str(tmp / "sound.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    return ["predict", world.run, tmp / "sound.mp4", "-o", tmp / "out"]


@case(1, "cut.mp4: ", "not a readable video|truncated")
def truncated_video(world: World, tmp: Path) -> list[Any]:
    whole = world.folder.joinpath("video.mp4").read_bytes()
    (tmp / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    return ["predict", world.run, tmp / "cut.mp4", "-o", tmp / "out"]


@case(1, "one.mp4 has 1 frame", "consistency needs two or more")
def video_of_one_frame(world: World, tmp: Path) -> list[Any]:
    (tmp / "maps").mkdir()
    shutil.copy(world.labels / "000.png", tmp / "maps")
    return consistency(world, world.folder / "one.mp4", tmp / "maps")


@case(1, "one has 1 frame", "too short for clips of 2 frames with a gap of 1")
def training_on_a_video_of_one_frame(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"unlabelled": {"dataset": "video", "path": str(world.folder / "one.mp4")}})


@case(1, "street-.* has 5 frame", "too short for clips of 2 frames with a gap of 6")
def gap_longer_than_the_video(world: World, tmp: Path) -> list[Any]:
    config = write_config(tmp / "config.yaml", tiny_config(data={"gaps": [6, 9]}))
    return ["train", config, "-o", tmp / "out"]


@case(1, "video.mp4 is a video: labels need a folder of images with the same names")
def labels_with_a_video(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.folder / "video.mp4", None, "--labels", world.labels)


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
