"""What commands refuse: one line that names the file or the key, exit code 1 or 2, and nothing is left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.cli_support import MODEL, SIZE, World, isolated, listing, run_main, tiny_config, write_config

Command = list[Any]
Make = Callable[[World, Path], Command]


def train(tmp: Path, *more: object, **sections: Any) -> Command:
    return ["train", write_config(tmp / "config.yaml", tiny_config(**sections)), "-o", tmp / "out", *more]


def train_on_folder(tmp: Path, **sections: Any) -> Command:
    """Train on tmp/frames and tmp/labels."""
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": "frames", "labels": "labels", "class_names": names}
    config = tiny_config(**sections) | {"data": {"root": str(tmp), "train": footage, "frames": 2}}
    return ["train", write_config(tmp / "config.yaml", config), "-o", tmp / "out"]


def score(world: World, *more: object, maps: Path | None = None, frames: Path | None = None) -> Command:
    maps, frames = maps or world.labels, frames or world.frames
    return ["consistency", maps, "--frames", frames, "--flow", "dis", *more]


def render(world: World, *systems: Path, out: Path, frames: Path | None = None) -> Command:
    return ["render", *systems, "--frames", frames or world.frames, "--flow", "dis", "-o", out]


def predict(world: World, tmp: Path, system: Path) -> Command:
    return ["predict", system, world.frames, "-o", tmp / "out"]


def compare(tmp: Path, *configs: dict[str, Any]) -> Command:
    """Configs that are called a, b, ..."""
    names = dict(zip("abc", configs))
    files = [write_config(tmp / f"{x}.yaml", tiny_config(**{"name": x, **sections})) for x, sections in names.items()]
    return ["compare", *files, "-o", tmp / "out"]


def copied(world: World, tmp: Path) -> Path:
    """A folder with frames and labels that may be spoilt."""
    for name in ("frames", "labels"):
        shutil.copytree(world.folder / name, tmp / name)
    return tmp


def spoilt(world: World, tmp: Path, name: str, values: Any) -> Path:
    """Copied footage of which one image holds other values."""
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(copied(world, tmp) / name)
    return tmp


def weights(world: World, tmp: Path, **card: Any) -> Path:
    """A copy of the trained student whose json is changed."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(world.run / f"student{suffix}", tmp)
    path = tmp / "student.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | card))
    return tmp / "student.safetensors"


def five_classes(world: World, tmp: Path) -> Path:
    path = weights(world, tmp, classes=5, class_names=[], palette=[], sha256=None)
    tensors = load_file(path)
    save_file({k: v[:5].clone() if k.startswith("head") else v for k, v in tensors.items()}, path)
    return path


def with_file(path: Path, content: str | bytes, command: Command) -> Command:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return command


def without(path: Path, command: Command) -> Command:
    path.unlink()
    return command


def copied_run(world: World, tmp: Path, command: Command) -> Command:
    shutil.copytree(world.run, tmp / "out")
    return command


KD = {"name": "kd"}
CASES: dict[str, tuple[int, str, Make]] = {
    # Words of the command line
    "a command that does not exist": (2, "trian", lambda w, t: ["trian"]),
    "an option that does not exist": (2, "--output", lambda w, t: ["predict", w.run, w.frames, "--output", t / "out"]),
    "an option of a wrong type": (2, "--classes", lambda w, t: score(w, "--classes", "many")),
    "an unknown protocol": (2, "--protocol.*visible, unmasked", lambda w, t: score(w, "--protocol", "masked")),
    "an unknown flow": (2, "--flow.*raft_small, raft_large, dis", lambda w, t: score(w, "--flow", "farneback")),
    "an option of an earlier version": (
        2,
        "--left.*render SYSTEM",
        lambda w, t: ["render", "--frames", w.frames, "--left", w.run, "-o", t / "o.mp4"],
    ),
    "a malformed replacement": (2, "--replace '11-1'", lambda w, t: score(w, "--replace", "11-1")),
    "a malformed size": (2, "--size '0x80'", lambda w, t: ["export", w.run, "-o", t / "o.onnx", "--size", "0x80"]),
    "int8 without frames": (2, "--calibrate", lambda w, t: ["export", w.run, "-o", t / "o.onnx", "--int8"]),
    "a decay out of range": (1, "1.5", lambda w, t: ["evaluate", w.run, "--ema", 1.5]),
    "an override without a value": (2, "--set", lambda w, t: train(t, "--set", "training.steps")),
    # Configs, as far as they are built
    "a missing config": (2, r"nowhere\.yaml", lambda w, t: ["train", t / "nowhere.yaml", "-o", t / "out"]),
    "an unknown term": (2, r"method\.terms.*'edge'", lambda w, t: train(t, method={"terms": [{"term": "edge"}]})),
    "an unknown option of a term": (
        2,
        r"method\.terms\.pixel_kl.*'temperature'",
        lambda w, t: train(t, method={"terms": [{"term": "pixel_kl", "options": {"temperature": 2}}]}),
    ),
    "an import that fails": (
        2,
        "no_such_package",
        lambda w, t: train(t, method={"terms": [{"import": "no_such_package:Edge"}]}),
    ),
    "an import of something else": (
        2,
        "builtins:dict",
        lambda w, t: train(t, data={"train": {"dataset": "import", "import": "builtins:dict"}}),
    ),
    "class weights of a wrong length": (
        2,
        r"method\.class_weight",
        lambda w, t: train(t, method={"class_weight": [1]}),
    ),
    "a role that the network lacks": (
        1,
        "'backbone'.*body",
        lambda w, t: train(t, student={"roles": {"head": "backbone"}}),
    ),
    "an unknown architecture": (1, "'FPN'", lambda w, t: train(t, student={"architecture": "FPN"})),
    "an unknown argument": (1, "'widht'.*width", lambda w, t: train(t, student={"arguments": {"widht": 4}})),
    "clips that are too short": (
        1,
        r"data\.frames",
        lambda w, t: train(t, data={"frames": 1}, method={"terms": [{"term": "motion_consistency"}]}),
    ),
    "motion from nowhere": (
        1,
        "set flow",
        lambda w, t: train_on_folder(copied(w, t), method={"terms": [{"term": "motion_consistency"}]}),
    ),
    "exact motion of a video": (
        2,
        r"evaluation\.flow",
        lambda w, t: train(t, data={"val": {"dataset": "video", "path": str(w.folder / "video.mp4")}}),
    ),
    "no footage to score on": (2, r"data\.val", lambda w, t: compare(t, {"data": {"val": None}})),
    "data that is nowhere": (
        1,
        "cityscapes.*leftImg8bit",
        lambda w, t: train(t, data={"val": None, "train": {"dataset": "cityscapes"}}),
    ),
    # Networks and teachers
    "weights of another class count": (1, r"head\.weight", lambda w, t: predict(w, t, weights(w, t, classes=5))),
    "weights that are none": (
        1,
        r"student\.safetensors",
        lambda w, t: with_file(weights(w, t), "no weights", predict(w, t, t / "student.safetensors")),
    ),
    "weights without their json": (
        1,
        r"student\.json",
        lambda w, t: without(weights(w, t).with_suffix(".json"), predict(w, t, t / "student.safetensors")),
    ),
    "a training state as a system": (1, r"last\.pt", lambda w, t: predict(w, t, w.run / "checkpoints/last.pt")),
    "a teacher that is missing": (1, r"teacher\.weights", lambda w, t: train(t, method=KD)),
    "a teacher that is nowhere": (
        1,
        r"t\.safetensors",
        lambda w, t: train(t, method=KD, teacher={"weights": "t.safetensors"}),
    ),
    "a teacher of other classes": (
        1,
        "teacher has 5",
        lambda w, t: train(t, method=KD, teacher={"weights": str(five_classes(w, t))}),
    ),
    "networks of other classes": (
        2,
        "has 5 classes, expected 9",
        lambda w, t: ["report", w.run, five_classes(w, t), "-o", t / "o.html"],
    ),
    "weights without data": (2, "--data", lambda w, t: ["evaluate", w.run / "student.safetensors"]),
    # Run directories
    "a run that is none": (
        1,
        r"config\.yaml",
        lambda w, t: with_file(t / "empty/a.txt", "", ["evaluate", t / "empty"]),
    ),
    "a system that is nowhere": (1, "nowhere", lambda w, t: ["evaluate", t / "nowhere"]),
    "a run that is there": (1, "--resume", lambda w, t: ["train", w.folder / "config.yaml", "-o", w.run]),
    "a run of another config": (
        2,
        r"training\.lr",
        lambda w, t: copied_run(w, t, train(t, "--resume", training={"lr": 0.5})),
    ),
    "a file in the place of a run": (1, "out is a file", lambda w, t: with_file(t / "out", "", train(t))),
    "two systems of one name": (2, "'same'", lambda w, t: compare(t, {"name": "same"}, {"name": "same"})),
    "systems that differ": (
        2,
        r"student\.arguments\.width",
        lambda w, t: compare(t, {}, {"student": {**MODEL, "arguments": {"width": 12}}}),
    ),
    # Footage
    "frames that are nowhere": (1, "nowhere", lambda w, t: score(w, frames=t / "nowhere")),
    "a video that is none": (
        1,
        r"text\.mp4",
        lambda w, t: with_file(t / "text.mp4", "no video\n" * 50, ["predict", w.run, t / "text.mp4", "-o", t / "out"]),
    ),
    "a truncated image": (
        1,
        r"002\.png",
        lambda w, t: with_file(
            copied(w, t) / "frames/002.png",
            (w.frames / "002.png").read_bytes()[:700],
            ["predict", w.run, t / "frames", "-o", t / "out"],
        ),
    ),
    "frames of different sizes": (
        1,
        r"frames/002\.png: 81x64",
        lambda w, t: render(
            w, w.run, out=t / "o.mp4", frames=spoilt(w, t, "frames/002.png", np.zeros((64, 81, 3))) / "frames"
        ),
    ),
    "a label out of range": (
        1,
        r"001\.png: value 77",
        lambda w, t: train_on_folder(spoilt(w, t, "labels/001.png", np.full(SIZE, 77)), training={"steps": 20}),
    ),
    "a video of one frame": (1, r"one\.mp4", lambda w, t: score(w, frames=w.folder / "one.mp4")),
    # Class maps of other tools
    "maps that lack a frame": (
        1,
        "'002'",
        lambda w, t: without(copied(w, t) / "labels/002.png", score(w, maps=t / "labels")),
    ),
    "maps of another size": (
        1,
        "80x64",
        lambda w, t: score(w, "--classes", 9, maps=spoilt(w, t, "labels/000.png", np.zeros((32, 40))) / "labels"),
    ),
    "maps in colours": (
        1,
        r"001\.png: a colour image",
        lambda w, t: score(w, maps=spoilt(w, t, "labels/001.png", np.zeros((*SIZE, 3))) / "labels"),
    ),
    "an unknown palette": (1, "'kitti'", lambda w, t: score(w, "--palette", "kitti")),
    "flow weights that are nowhere": (
        1,
        r"nowhere\.pth",
        lambda w, t: ["consistency", *score(w, "--weights", t / "nowhere.pth")[1:], "--flow", "raft_small"],
    ),
    # Output
    "both formats at once": (2, "--json and --csv", lambda w, t: score(w, "--json", "--csv")),
    "a full folder for class maps": (
        1,
        "out exists",
        lambda w, t: with_file(t / "out/mine.txt", "", predict(w, t, w.run)),
    ),
    "a folder in the place of a video": (
        1,
        r"o\.mp4",
        lambda w, t: with_file(t / "o.mp4/mine.txt", "", render(w, w.labels, out=t / "o.mp4")),
    ),
    "a demo into something else": (
        1,
        "out exists",
        lambda w, t: with_file(t / "out/mine.txt", "", ["demo", "-o", t / "out"]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected, words, make = CASES[name]
    arguments = [str(word) for word in make(world, tmp_path)]
    before, world_before = listing(tmp_path), listing(world.folder)
    with isolated(tmp_path / "cache", tmp_path):
        code = run_main(arguments)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    said = lines[-1] if lines else " ".join(re.sub(r"[│╭╰─╮╯]", " ", err).split())
    assert re.search(words, said) and code == expected, (code, said)
    assert len(lines) <= 1 and out == "" and "Traceback" not in err and "--debug COMMAND" not in said
    assert listing(tmp_path) == before and listing(world.folder) == world_before, "something was left behind"
