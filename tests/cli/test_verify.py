"""`verify` and environment.json: whether a run can be had again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

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
        ('{"results": [{"system": "student"}]}', "evaluation.json"),
        ('{"results": []}', "evaluation.json"),
    ],
)
def test_records_that_cannot_be_used(content: str | None, says: str, world: World, call: Any) -> None:
    shutil.copytree(world.run, "run")
    path = Path("run/evaluation.json")
    path.unlink() if content is None else path.write_text(content)
    out, err = call("verify", "run", code=1)
    assert says in err and out == "" and "Traceback" not in err
