"""Bad input through the real entry point: one line that says what is wrong with what, and nothing is left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.cli_support import (
    MODEL,
    SIZE,
    World,
    isolated,
    make_world,
    run_main,
    tiny_config,
    write_config,
)

Make = Callable[[World, Path], list[Any]]


@dataclass
class Case:
    """`make` writes the bad input below a folder of its own and gives the command; `says` is found in the error."""

    make: Make
    code: int
    says: tuple[str, ...]


CASES: dict[str, Case] = {}


def case(code: int, *says: str) -> Callable[[Make], Make]:
    """Enter a case into the table."""

    def enter(make: Make) -> Make:
        assert make.__name__ not in CASES
        CASES[make.__name__] = Case(make, code, says)
        return make

    return enter


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.getbasetemp() / "world")


def listing(folder: Path) -> dict[str, int]:
    """All files below a folder with their sizes, hidden ones too; the flow cache is not output."""
    found = {str(p.relative_to(folder)): p.stat().st_size if p.is_file() else -1 for p in folder.rglob("*")}
    return {name: size for name, size in found.items() if not name.startswith("cache")}


# Footage


def consistency(world: World, frames: Path, predictions: Path | None = None, *more: object) -> list[Any]:
    maps = predictions or world.labels
    return ["consistency", "--frames", frames, "--predictions", maps, "--flow", "dis", *more]


def copied(world: World, tmp: Path) -> Path:
    """A folder with frames and labels that may be spoilt."""
    for name in ("frames", "labels"):
        shutil.copytree(world.folder / name, tmp / name)
    return tmp


def train_on_folder(tmp: Path, **sections: Any) -> list[Any]:
    """Train on tmp/frames and tmp/labels."""
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": "frames", "labels": "labels", "class_names": names}
    data = {"root": str(tmp), "train": footage, "val": None} | sections.pop("data", {})
    data = {key: value for key, value in data.items() if value is not None}
    config = tiny_config(**sections) | {"data": data}
    return ["train", write_config(tmp / "config.yaml", config), "-o", tmp / "out"]


def write_map_file(path: Path, values: Any) -> None:
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)


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


@case(1, "002.png: not a readable image, expected png, jpg, bmp or webp")
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


# Configs


def check(tmp: Path, text: str, *more: object) -> list[Any]:
    (tmp / "config.yaml").write_text(text)
    return ["config", "check", tmp / "config.yaml", *more]


def check_values(tmp: Path, *more: object, **sections: Any) -> list[Any]:
    return ["config", "check", write_config(tmp / "config.yaml", tiny_config(**sections)), *more]


def train(tmp: Path, *more: object, **sections: Any) -> list[Any]:
    return ["train", write_config(tmp / "config.yaml", tiny_config(**sections)), "-o", tmp / "out", *more]


@case(2, "config.yaml", "unknown key training.stepz", "did you mean steps")
def unknown_key(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, training={"stepz": 3})


@case(2, "training.batch: expected a valid integer, .*got 'many'")
def wrong_type(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, training={"batch": "many"})


@case(2, "method.name: unknown 'distil', expected one of baseline, kd, etc")
def unknown_method(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, method={"name": "distil"})


@case(2, "data.train.dataset: unknown 'kitti', expected one of camvid, folder, video, street")
def unknown_dataset(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"train": {"dataset": "kitti"}})


@case(2, "data.train.dataset: missing")
def dataset_not_named(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"train": {"length": 3}})


@case(2, "data.train.import: missing")
def import_not_named(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"train": {"dataset": "import"}})


@case(2, "config.yaml: student: missing")
def missing_section(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, student=None)


@case(2, "no config file .*nowhere.yaml, in its folder are .*there.yaml")
def missing_config(world: World, tmp: Path) -> list[Any]:
    (tmp / "there.yaml").write_text("")
    return ["train", tmp / "nowhere.yaml", "-o", tmp / "out"]


@case(2, "config.yaml: not valid YAML: .*line 2")
def not_yaml(world: World, tmp: Path) -> list[Any]:
    return check(tmp, "name: [a\nb: {")


@case(2, "config.yaml is not a text file")
def config_is_an_image(world: World, tmp: Path) -> list[Any]:
    shutil.copy(world.frames / "000.png", tmp / "config.yaml")
    return ["config", "check", tmp / "config.yaml"]


@case(2, "config.yaml: expected keys and values, found list")
def config_is_a_list(world: World, tmp: Path) -> list[Any]:
    return check(tmp, "- a\n- b\n")


@case(2, "config.yaml: expected keys and values, found an empty file")
def config_is_empty(world: World, tmp: Path) -> list[Any]:
    return check(tmp, "")


@case(2, "no config file .*base.yaml", "config.yaml")
def extends_a_missing_file(world: World, tmp: Path) -> list[Any]:
    return check(tmp, "extends: base.yaml\nname: x\n")


@case(2, "config.yaml: extends itself")
def extends_itself(world: World, tmp: Path) -> list[Any]:
    return check(tmp, "extends: config.yaml\nname: x\n")


@case(2, "config.yaml: extends itself")
def extends_in_a_circle(world: World, tmp: Path) -> list[Any]:
    (tmp / "base.yaml").write_text("extends: config.yaml\n")
    return check(tmp, "extends: base.yaml\nname: x\n")


@case(2, "--set 'training.steps': expected key.sub=value")
def set_without_equals(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, "--set", "training.steps")


@case(2, r"data.scale: expected \[smallest, largest\], got \[2.0, 0.5\]")
def scale_upside_down(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"scale": [2.0, 0.5]})


@case(2, r"data.gaps: expected \[smallest, largest\], got \[3, 1\]")
def gaps_upside_down(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"gaps": [3, 1]})


@case(2, "data.crop.*: expected greater than 0, got -4")
def negative_crop(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"crop": [-4, 8]})


@case(2, "seed: expected greater than or equal to 0, got -1")
def negative_seed(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, seed=-1)


@case(2, "training.devices: expected .*, got 0")
def no_devices(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, training={"devices": 0})


@case(2, "training.devices: expected a valid integer.* or 'auto', got 'all'")
def devices_of_a_wrong_name(world: World, tmp: Path) -> list[Any]:
    return train(tmp, "--devices", "all")


@case(2, "student.normalisation.std.*: expected greater than 0, got 0")
def normalisation_by_zero(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, student={"normalisation": {"std": [1.0, 0.0, 1.0]}})


@case(2, "flow.kind: expected .*'dis'.* got 'farneback'")
def unknown_flow_in_a_config(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, flow={"kind": "farneback"})


@case(2, "method.class_weight: 2 numbers for 9 classes")
def class_weight_of_wrong_length(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"class_weight": [1.0, 2.0]})


@case(2, "method.terms: unknown term 'edge', expected one of cross_entropy, pixel_kl")
def unknown_term(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"terms": [{"term": "edge"}]})


@case(2, "method.terms.pixel_kl: got an unexpected keyword argument 'temperature'")
def unknown_option_of_a_term(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"terms": [{"term": "pixel_kl", "options": {"temperature": 2}}]})


@case(2, "method.terms: import 'no_such_package.losses:Edge': No module named 'no_such_package'")
def import_that_does_not_import(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"terms": [{"import": "no_such_package.losses:Edge"}]})


@case(2, "method.terms: import ':Edge': expected package.module:name")
def import_without_a_module(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"terms": [{"import": ":Edge"}]})


@case(2, "data: temporalkd.data.footage:street: got an unexpected keyword argument 'nope'")
def unknown_option_of_imported_data(world: World, tmp: Path) -> list[Any]:
    made = {"dataset": "import", "import": "temporalkd.data.footage:street", "options": {"count": 1, "nope": 3}}
    return train(tmp, data={"train": made})


@case(2, "data: builtins:dict must return a Footage, it returned dict")
def imported_data_of_another_kind(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"train": {"dataset": "import", "import": "builtins:dict"}})


@case(2, "method: street must return a list of temporalkd.methods.Weighted")
def imported_method_of_another_kind(world: World, tmp: Path) -> list[Any]:
    made = {"name": "import", "import": "temporalkd.data.footage:street", "options": {"count": 1}}
    return train(tmp, method=made)


@case(2, "method.terms.term: must be a temporalkd.methods.Term, it is a dict")
def import_of_something_else(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"terms": [{"import": "builtins:dict", "name": "term"}]})


@case(1, "motion_consistency needs 2 frames, data.frames is 1|needs clips of 2 frames, data.frames is 1")
def clips_too_short_for_a_term(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"frames": 1}, method={"terms": [{"term": "motion_consistency"}]})


@case(1, "recurrent_dependency.* 3 frames, data.frames is 2")
def clips_too_short_for_a_method(world: World, tmp: Path) -> list[Any]:
    teacher = {"weights": str(world.run / "student.safetensors")}
    return train(tmp, method={"name": "etc"}, teacher=teacher)


@case(1, "the network has no module 'backbone'; the nearest names are")
def role_of_unknown_module(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"roles": {"native": "head", "head": "backbone"}})


@case(1, "role 'native': the network's forward does not call 'unused'")
def role_of_a_silent_module(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"roles": {"native": "unused"}})


@case(1, r"'body\[1\]' asks for an item, but 'body' gives a Tensor")
def role_of_an_item_of_no_list(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"roles": {"native": "head", "head": "body[1]"}})


@case(1, 'role "native" must give 9 channels')
def role_of_wrong_module(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"roles": {"native": "body"}})


@case(1, "unknown architecture 'FPN', expected segmentation_models_pytorch.NAME")
def unknown_architecture(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"architecture": "FPN"})


@case(1, "tests.cli_support:TinyNetwork has no argument 'widht', did you mean width")
def unknown_argument_of_a_network(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"arguments": {"widht": 4}})


@case(1, "package 'no_such_weights' is not installed: pip install no-such-weights")
def encoder_package_missing(world: World, tmp: Path) -> list[Any]:
    student = {
        "architecture": "segmentation_models_pytorch.FPN",
        "arguments": {"encoder_name": "resnet18"},
        "encoder_weights": "package:no_such_weights",
        "roles": {},
    }
    return train(tmp, student=student)


@case(2, "student.encoder_weights: tests.cli_support:TinyNetwork has no encoder or backbone")
def encoder_weights_without_encoder(world: World, tmp: Path) -> list[Any]:
    return train(tmp, student={"encoder_weights": "package:no_such_weights"})


@case(2, "evaluation.flow: exact, but .*frames knows no exact motion")
def exact_flow_of_a_folder(world: World, tmp: Path) -> list[Any]:
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": str(world.frames), "labels": str(world.labels), "class_names": names}
    return train(tmp, data={"val": footage})


@case(2, "data.val has 4 classes, the network 9")
def validation_of_other_classes(world: World, tmp: Path) -> list[Any]:
    names = [f"class {i}" for i in range(4)]
    footage = {"dataset": "folder", "images": str(world.frames), "labels": str(world.labels), "class_names": names}
    return train(tmp, data={"val": footage}, evaluation={"flow": "dis"})


@case(1, "needs motion, .* no flow estimator is configured: set flow")
def motion_from_nowhere(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    return train_on_folder(tmp, method={"terms": [{"term": "motion_consistency"}]})


# Weights


def weights(world: World, tmp: Path, **card: Any) -> Path:
    """A copy of the trained student whose json is changed."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(world.run / f"student{suffix}", tmp)
    path = tmp / "student.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | card))
    return tmp / "student.safetensors"


def predict(world: World, tmp: Path, system: Path) -> list[Any]:
    return ["predict", system, world.frames, "-o", tmp / "out"]


@case(1, "student.safetensors: no tensor 'backbone.*another architecture")
def checkpoint_of_another_architecture(world: World, tmp: Path) -> list[Any]:
    card = {"architecture": "torchvision.lraspp_mobilenet_v3_large", "roles": {}}
    return predict(world, tmp, weights(world, tmp, **card))


@case(1, "student.safetensors", "head.weight", "another architecture or class count")
def checkpoint_of_another_class_count(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, weights(world, tmp, classes=5))


@case(1, "student.safetensors is not a readable .safetensors file")
def not_safetensors(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp)
    path.write_text("no weights")
    return predict(world, tmp, path)


@case(1, "student.safetensors is not a readable .safetensors file")
def truncated_safetensors(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp)
    path.write_bytes(path.read_bytes()[:-500])
    return predict(world, tmp, path)


@case(1, "student.pth is not a readable .pth file of tensors")
def not_a_pth(world: World, tmp: Path) -> list[Any]:
    (tmp / "student.pth").write_text("no weights")
    return train(tmp, student={"weights": str(tmp / "student.pth")})


@case(1, "student.pth is not a readable .pth file of tensors")
def pth_that_runs_code(world: World, tmp: Path) -> list[Any]:
    torch.save(Case(weights, 0, ()), tmp / "student.pth")
    return train(tmp, student={"weights": str(tmp / "student.pth")})


@case(1, "no .*student.json: a json that says which network")
def weights_without_json(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp)
    path.with_suffix(".json").unlink()
    return predict(world, tmp, path)


@case(1, "student.json does not describe a network: JSONDecodeError")
def json_that_is_none(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp)
    path.with_suffix(".json").write_text("{classes: 3")
    return predict(world, tmp, path)


@case(1, "student.json does not describe a network", "architecture")
def json_without_architecture(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp)
    path.with_suffix(".json").write_text('{"classes": 3}')
    return predict(world, tmp, path)


@case(1, "student.json does not describe a network", "mean")
def json_with_a_wrong_normalisation(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, weights(world, tmp, normalisation={"mean": [127]}))


@case(1, "nowhere: no such run folder or .safetensors file")
def missing_system(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, tmp / "nowhere")


@case(1, "last.pt", "expected a run folder or a .safetensors file")
def training_state_as_system(world: World, tmp: Path) -> list[Any]:
    return predict(world, tmp, world.run / "checkpoints/last.pt")


@case(2, "student.safetensors is a checkpoint, not a run folder: name a config with --data")
def evaluate_a_checkpoint_without_data(world: World, tmp: Path) -> list[Any]:
    return ["evaluate", world.run / "student.safetensors"]


@case(2, "data.val has 4 classes, the network 9")
def evaluate_on_other_classes(world: World, tmp: Path) -> list[Any]:
    names = [f"class {i}" for i in range(4)]
    footage = {"dataset": "folder", "images": str(world.frames), "labels": str(world.labels), "class_names": names}
    config = tiny_config(data={"val": footage}, evaluation={"flow": "dis"})
    return ["evaluate", world.run, "--data", write_config(tmp / "config.yaml", config)]


@case(2, "data.val: missing")
def evaluate_without_footage(world: World, tmp: Path) -> list[Any]:
    config = tiny_config()
    config["data"].pop("val")
    return ["evaluate", world.run, "--data", write_config(tmp / "config.yaml", config)]


@case(2, "teacher.weights: missing")
def teacher_without_weights(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "kd"}, teacher=MODEL)


@case(1, "distils from a teacher, and none is configured: set teacher.weights")
def method_without_teacher(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "kd"})


@case(1, "the teacher has 5 classes, the student 9")
def teacher_of_other_classes(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp, classes=5)
    tensors = load_file(path)
    save_file({k: v[:5].clone() if k.startswith("head") else v for k, v in tensors.items()}, path)
    return train(tmp, method={"name": "kd"}, teacher={"weights": str(path)})


@case(1, "no teacher.safetensors and no .*no-data-root/weights/teacher.safetensors")
def teacher_not_found(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "kd"}, teacher={"weights": "teacher.safetensors"})


# Run folders


@case(1, "empty is not a run folder: it has no config.yaml")
def run_without_config(world: World, tmp: Path) -> list[Any]:
    (tmp / "empty").mkdir()
    return ["evaluate", tmp / "empty"]


@case(1, "run has no student.safetensors: its training has not ended")
def run_without_student(world: World, tmp: Path) -> list[Any]:
    (tmp / "run").mkdir()
    shutil.copy(world.run / "config.yaml", tmp / "run")
    return ["evaluate", tmp / "run"]


@case(1, "run already holds a run: --resume it, or name another folder")
def train_into_a_run(world: World, tmp: Path) -> list[Any]:
    return ["train", world.folder / "config.yaml", "-o", world.run]


@case(1, "out is a file, expected a folder")
def train_into_a_file(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").write_text("")
    return train(tmp)


@case(1, "out is not a run folder: nothing to resume")
def nothing_to_resume(world: World, tmp: Path) -> list[Any]:
    return train(tmp, "--resume")


@case(2, "config.yaml differs from the config given in training.lr", "resume with the same")
def resume_with_another_config(world: World, tmp: Path) -> list[Any]:
    shutil.copytree(world.run, tmp / "out")
    return train(tmp, "--resume", training={"lr": 0.5})


@case(1, "out was stopped before its first checkpoint: delete it and train again")
def resume_before_the_first_checkpoint(world: World, tmp: Path) -> list[Any]:
    (tmp / "out").mkdir()
    shutil.copy(world.run / "config.yaml", tmp / "out")
    return train(tmp, "--resume")


@case(1, "last.pt is damaged or not a checkpoint")
def resume_from_a_damaged_checkpoint(world: World, tmp: Path) -> list[Any]:
    shutil.copytree(world.run, tmp / "out")
    (tmp / "out/checkpoints/last.pt").write_bytes(b"nothing")
    return train(tmp, "--resume")


# Predictions, flow, output


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


def render(world: World, left: Path, out: Path, *more: object) -> list[Any]:
    return ["render", "--frames", world.frames, "--left", left, "--flow", "dis", "-o", out, *more]


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


@case(1, "raft_small: no weights .*no-data-root/weights", "'dis', which needs none")
def raft_weights_not_found(world: World, tmp: Path) -> list[Any]:
    return [*consistency(world, world.frames)[:-1], "raft_small"]


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


# The assertions


def message(err: str) -> str:
    """The one error line, or the text of a box of wrong usage."""
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    if not lines and "Usage:" in err:
        return " ".join(re.sub(r"[│╭╰─╮╯]", " ", err).split())
    assert len(lines) == 1, err
    assert err.rstrip().endswith(lines[0]), "the error comes last"
    return lines[0]


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    arguments = [str(word) for word in case.make(world, tmp_path)]
    before, world_before = listing(tmp_path), listing(world.folder)
    with isolated(tmp_path / "cache", tmp_path):
        code = run_main(arguments)
    out, err = capsys.readouterr()
    said = message(err)
    for expected in case.says:
        assert re.search(expected, said), said
    assert code == case.code, said
    assert "Traceback" not in out + err
    assert "--debug COMMAND" not in said, f"an error that nobody foresaw: {said}"
    assert listing(tmp_path) == before, "something was left behind"
    assert listing(world.folder) == world_before
