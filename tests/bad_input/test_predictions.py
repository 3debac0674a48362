"""Class maps, flow, and output that cannot be used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.bad_input.support import Cases, consistency, copied, must_be_refused, predict, render, train, write_map_file
from tests.cli_support import SIZE, World

case = Cases()


@case(1, "maps: no such folder, expected one with class maps")
def missing_predictions(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, tmp / "maps")


@case(1, "1 frames without a map in .*labels, the first is '002'")
def predictions_with_a_gap(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    (tmp / "labels/002.png").unlink()
    return consistency(world, world.frames, tmp / "labels")


@case(1, "1 maps without a frame in .*labels, the first is 'more'")
def predictions_with_more(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    shutil.copy(tmp / "labels/000.png", tmp / "labels/more.png")
    return consistency(world, world.frames, tmp / "labels")


@case(1, "maps without a frame in .*labels, the first is 'pred_000'", "names must match")
def predictions_of_other_names(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    for path in sorted((tmp / "labels").iterdir()):
        path.rename(path.with_name(f"pred_{path.name}"))
    return consistency(world, world.frames, tmp / "labels")


@case(1, "labels has 4 class maps, .*video.mp4 has 5 frames")
def predictions_of_another_number_than_the_video(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    (tmp / "labels/002.png").unlink()
    return consistency(world, world.folder / "video.mp4", tmp / "labels")


@case(1, "labels, .*frames/000.png: the prediction is 40x32, expected 80x64 like its frame")
def predictions_of_another_size(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    for path in (tmp / "labels").iterdir():
        write_map_file(path, np.zeros((32, 40)))
    return consistency(world, world.frames, tmp / "labels")


@case(1, "002.png: value 12 .*expected one of 9 classes")
def predictions_out_of_range(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/002.png", np.full(SIZE, 12))
    return consistency(world, world.frames, tmp / "labels", "--classes", 9)


@case(1, "001.png: a colour image", "expected class indices")
def predictions_in_colours(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/001.png", np.zeros((*SIZE, 3)))
    return consistency(world, world.frames, tmp / "labels")


@case(1, "001.png: a colour image", "expected class indices")
def rendered_predictions_in_colours(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/001.png", np.zeros((*SIZE, 3)))
    return render(world, tmp / "labels", tmp / "out.mp4")


@case(1, "002.png: value 12 .*expected one of 9 classes")
def rendered_predictions_out_of_range(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    write_map_file(tmp / "labels/002.png", np.full(SIZE, 12))
    return render(world, tmp / "labels", tmp / "out.mp4", "--right", world.run)


@case(1, "labels has 4 class maps, .*video.mp4 has 5 frames")
def rendered_predictions_too_few(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    (tmp / "labels/004.png").unlink()
    command = render(world, tmp / "labels", tmp / "out.mp4")
    return [world.folder / "video.mp4" if word == world.frames else word for word in command]


@case(1, "nowhere: no such run folder, .safetensors file or folder of class maps")
def rendered_system_missing(world: World, tmp: Path) -> list[Any]:
    return render(world, tmp / "nowhere", tmp / "out.mp4")


@case(2, "--flow", "raft_smal", "raft_small, raft_large, dis")
def unknown_flow(world: World, tmp: Path) -> list[Any]:
    return ["consistency", "--frames", world.frames, "--predictions", world.labels, "--flow", "raft_smal"]


@case(2, "--flow", "farneback", "dis")
def unknown_flow_of_render(world: World, tmp: Path) -> list[Any]:
    return render(world, world.labels, tmp / "out.mp4", "--flow", "farneback")


@case(2, "--protocol", "visibel", "visible, unmasked")
def unknown_protocol(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--protocol", "visibel")


@case(2, "--protocol", "masked", "visible, unmasked")
def unknown_protocol_of_evaluate(world: World, tmp: Path) -> list[Any]:
    return ["evaluate", world.run, "--protocol", "masked"]


@case(2, "--replace '11-1': expected two class values, OLD:NEW")
def replace_malformed(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--replace", "11-1")


@case(1, "mapping 3 -> 12: expected a class 0 to 8")
def replace_by_no_class(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--replace", "3:12", "--classes", 9)


@case(1, "classes must be 1 to 255, got 0")
def no_classes(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--classes", 0)


@case(1, "raft_large: no weights .*no-data-root/weights", "'dis', which needs none")
def raft_weights_not_found(world: World, tmp: Path) -> list[Any]:
    return [*consistency(world, world.frames)[:-1], "raft_large"]


@case(1, "student.safetensors does not fit raft_small", "tensors are missing")
def raft_weights_of_something_else(world: World, tmp: Path) -> list[Any]:
    command = [*consistency(world, world.frames)[:-1], "raft_small"]
    return [*command, "--weights", world.run / "student.safetensors"]


@case(1, "nowhere.pth; the estimator 'dis' needs no weights")
def raft_weights_missing(world: World, tmp: Path) -> list[Any]:
    return [*consistency(world, world.frames)[:-1], "raft_small", "--weights", tmp / "nowhere.pth"]


@case(1, "flow 'dis' takes no weights")
def weights_for_dis(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--weights", tmp / "any.pth")


@case(1, "cannot write video", "file/out.mp4")
def render_below_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "file").write_text("")
    return render(world, world.labels, tmp / "file/out.mp4")


@case(1, "out.mp4: a folder, expected the name of an mp4 file")
def render_onto_a_folder(world: World, tmp: Path) -> list[Any]:
    (tmp / "out.mp4").mkdir()
    return render(world, world.labels, tmp / "out.mp4")


@case(1, "fps must be more than 0")
def render_at_no_speed(world: World, tmp: Path) -> list[Any]:
    return render(world, world.labels, tmp / "out.mp4", "--fps", 0)


@case(1, "out exists: name a new folder")
def predict_into_a_full_folder(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").mkdir()
    (tmp / "out/mine.txt").write_text("keep")
    return predict(world, tmp, world.run)


@case(1, "file/out: cannot be made, .*file is a file")
def predict_below_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "file").write_text("")
    return ["predict", world.run, world.frames, "-o", tmp / "file/out"]


@case(1, "out exists and is not a demo: name another folder")
def demo_into_something_else(world: World, tmp: Path) -> list[Any]:
    (tmp / "out/teacher").mkdir(parents=True)
    (tmp / "out/teacher/mine.txt").write_text("keep")
    return ["demo", "-o", tmp / "out"]


@case(1, "out is a file, expected a folder")
def demo_into_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").write_text("keep")
    return ["demo", "-o", tmp / "out"]


@case(2, "No such command 'trian'")
def unknown_command(world: World, tmp: Path) -> list[Any]:
    return ["trian"]


@case(2, "No such option")
def unknown_option(world: World, tmp: Path) -> list[Any]:
    return ["predict", world.run, world.frames, "--output", tmp / "out"]


@case(2, "Invalid value for '--classes'", "valid integer")
def option_of_a_wrong_type(world: World, tmp: Path) -> list[Any]:
    return consistency(world, world.frames, None, "--classes", "many")


@case(1, "training.accelerator 'gpu', training.devices 1: ")
def no_such_accelerator(world: World, tmp: Path) -> list[Any]:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    return train(tmp, training={"accelerator": "gpu"})


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
