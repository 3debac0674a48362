"""`verify` and environment.json: whether a run can be had again."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from temporalkd.data.footage import move_stills
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.street import Street
from temporalkd.data.video import VideoFile
from temporalkd.experiments import provenance
from temporalkd.experiments.provenance import fingerprint
from tests.cli_support import World


def changed(world: World, change: Any) -> Path:
    """A copy of the trained run whose evaluation.json is changed."""
    shutil.copytree(world.run, "run")
    path = Path("run/evaluation.json")
    values = json.loads(path.read_text())
    change(next(row for row in values["results"] if row["system"] == "student"))
    path.write_text(json.dumps(values))
    return Path("run")


def test_a_run_is_verified_by_itself(world: World, call: Any) -> None:
    lines = call("verify", world.run)[0].splitlines()
    assert len(lines) > 8 and all(line.endswith(", as recorded") for line in lines)
    assert [line for line in lines if line.startswith("visible, exact, mIoU: ")]


def test_what_has_changed_since_is_told(world: World, call: Any) -> None:
    run = changed(world, lambda row: None)
    assert "since" not in call("verify", run)[1]
    path = run / "environment.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"torch": "1.0", "data_val": "0123", "seed": 77}))
    _, err = call("verify", run)
    assert f"since run was trained: torch was 1.0, is {torch.__version__}, the validation data was 0123, is " in err


def test_a_number_that_differs_is_told_with_how_much(world: World, call: Any) -> None:
    run = changed(world, lambda row: row.update(miou=row["miou"] - 0.25, consistency=None))
    out, err = call("verify", run, code=1)
    assert [line for line in out.splitlines() if "mIoU: " in line and line.endswith("differs by +0.2500")]
    assert [line for line in out.splitlines() if "consistency: " in line and line.endswith("recorded not defined")]
    assert "error: run: 2 number(s) differ from its evaluation.json" in err


def test_another_student_is_noticed(world: World, call: Any) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(world.run, "run")
    tensors = load_file("run/student.safetensors")
    tensors["head.bias"] = tensors["head.bias"].roll(1) + torch.linspace(0, 9, len(tensors["head.bias"]))
    save_file(tensors, "run/student.safetensors")
    _, err = call("verify", "run", code=1)
    assert "run/student.safetensors: damaged, or changed since run/student.json was written" in err
    card = json.loads(Path("run/student.json").read_text())
    del card["sha256"]
    Path("run/student.json").write_text(json.dumps(card))
    _, err = call("verify", "run", code=1)
    assert "differ from its evaluation.json" in err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "run has no evaluation.json"),
        ("{", "evaluation.json: not json"),
        ("[]", "evaluation.json: expected a json object, found list"),
        ('{"results": [{"system": "student"}]}', "evaluation.json: not the results of an evaluation"),
        ('{"results": []}', "evaluation.json: no results of the student"),
    ],
)
def test_records_that_cannot_be_used(content: str | None, says: str, world: World, call: Any) -> None:
    shutil.copytree(world.run, "run")
    path = Path("run/evaluation.json")
    path.unlink() if content is None else path.write_text(content)
    out, err = call("verify", "run", code=1)
    assert says in err and out == "" and "Traceback" not in err


def test_the_environment_says_what_a_run_was_made_with(world: World) -> None:
    found = json.loads((world.run / "environment.json").read_text())
    assert found["torch"] == torch.__version__ and found["seed"] == 0
    assert len(found["data_train"]) == len(found["data_val"]) == 16 and found["data_train"] != found["data_val"]
    assert {"torchvision", "numpy", "pillow", "av", "processor", "cpus", "threads", "git", "dirty"} <= found.keys()
    assert found["deterministic"] is False


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A file of a repository, committed."""
    file = tmp_path / "code.py"
    file.write_text("1\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "code.py"), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)
    yield file


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_state_of_the_code_is_told(checkout: Path) -> None:
    clean = provenance._git(checkout)
    assert len(clean["git"]) == 40 and clean["dirty"] is False
    checkout.write_text("2\n")
    assert provenance._git(checkout) == clean | {"dirty": True}
    other = checkout.with_name("installed.py")
    other.write_text("")
    assert provenance._git(other) == {"git": None, "dirty": None}


def test_without_git_a_run_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.environment(3)["git"] is None


def test_the_fingerprint_is_of_the_data_and_not_of_its_place(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.frames, tmp_path / "frames")
    shutil.copytree(world.labels, tmp_path / "labels")
    here, there = (FrameFolder(f / "frames", f / "labels", classes=9) for f in (world.folder, tmp_path))
    assert fingerprint([here]) == fingerprint([there]) != fingerprint([FrameFolder(tmp_path / "frames")])
    assert fingerprint(move_stills(here)) == fingerprint(move_stills(there))
    before = fingerprint([there]), fingerprint(move_stills(there))
    with (tmp_path / "labels" / "002.png").open("ab") as file:
        file.write(b"more")
    assert before != (fingerprint([there]), fingerprint(move_stills(there)))
    content = bytearray((tmp_path / "frames" / "001.png").read_bytes())
    content[-20] ^= 1
    before = fingerprint([there])
    (tmp_path / "frames" / "001.png").write_bytes(content)
    assert before != fingerprint([there]), "the same size, another checksum of the pixels"
    assert fingerprint([VideoFile(world.folder / "video.mp4")]) != fingerprint([VideoFile(world.folder / "one.mp4")])
    assert fingerprint([Street(1, 4, (48, 64))]) != fingerprint([Street(2, 4, (48, 64))])


def test_what_nobody_wrote_down_is_not_taken_for_unchanged(world: World, call: Any) -> None:
    run = changed(world, lambda row: None)
    (run / "environment.json").unlink()
    assert "nobody knows what has changed, there is no run/environment.json" in call("verify", run)[1]


def test_edited_code_is_told_wherever_it_is_installed(world: World, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(provenance.code()) == 16 and provenance.code() == provenance.code()
    monkeypatch.setattr(provenance, "code", lambda: "another")
    run = changed(world, lambda row: None)
    assert "the code of temporalkd was " in call("verify", run)[1]
