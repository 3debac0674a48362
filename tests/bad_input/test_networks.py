"""Networks, teachers and weights that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from temporalkd.models import ModelSpec, build, save_segmenter
from tests.bad_input.support import Case, Cases, must_be_refused, predict, train, weights
from tests.cli_support import MODEL, World, tiny_config, write_config

case = Cases()


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


@case(1, "student.safetensors: damaged, or changed since", "student.json was written")
def weights_of_another_training(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp)
    save_file({k: v + 1 if v.is_floating_point() else v for k, v in load_file(path).items()}, path)
    return predict(world, tmp, path)


@case(1, "the teacher has 5 classes, the student 9")
def teacher_of_other_classes(world: World, tmp: Path) -> list[Any]:
    path = weights(world, tmp, classes=5, sha256=None)
    tensors = load_file(path)
    save_file({k: v[:5].clone() if k.startswith("head") else v for k, v in tensors.items()}, path)
    return train(tmp, method={"name": "kd"}, teacher={"weights": str(path)})


@case(1, "'intra_affinity_second': distils from the teacher's branch 'second', there is none: set second_teacher")
def two_branches_of_one_teacher(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "stckd"}, teacher={"weights": str(weights(world, tmp))})


@case(2, "second_teacher: there is no teacher, and a second one needs a first")
def second_teacher_alone(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "baseline"}, second_teacher={"weights": str(weights(world, tmp))})


@case(1, "a joint teacher needs two networks or more of the same classes, got first 9, second 5")
def second_teacher_of_other_classes(world: World, tmp: Path) -> list[Any]:
    first = weights(world, tmp)
    network = build(ModelSpec(MODEL["architecture"], 5, roles=MODEL["roles"]))
    path = tmp / "second.safetensors"
    save_segmenter(network, ModelSpec(MODEL["architecture"], 5, roles=MODEL["roles"]), path, {})
    return train(tmp, method={"name": "stckd"}, teacher={"weights": str(first)}, second_teacher={"weights": str(path)})


@case(1, "term 'middle': the network has no feature of role 'fused', it has: logits, head, low")
def role_that_the_networks_lack(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "multilevel"}, teacher={"weights": str(weights(world, tmp))})


@case(1, "no teacher.safetensors and no .*no-data-root/weights/teacher.safetensors")
def teacher_not_found(world: World, tmp: Path) -> list[Any]:
    return train(tmp, method={"name": "kd"}, teacher={"weights": "teacher.safetensors"})


@pytest.mark.parametrize("name", case)
def test_bad_input(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    must_be_refused(case[name], world, tmp_path, capsys)
